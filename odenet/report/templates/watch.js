// Asks for the version of the page, and loads the page again when there is another.
const shown = VERSION;
const place = "odenet-scroll";
window.scrollTo(0, Number(sessionStorage.getItem(place) ?? 0));
addEventListener("scroll", () => sessionStorage.setItem(place, String(window.scrollY)));
async function look() {
  try {
    const version = await (await fetch("/version")).json();
    document.body.style.opacity = "";
    if (version !== shown) location.reload();
  } catch {
    document.body.style.opacity = "0.5"; // the server has stopped
  }
}
setInterval(look, 400);
