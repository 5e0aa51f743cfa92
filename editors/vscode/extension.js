// Starts `odenet lsp`, which knows all that the editor shows.
const { workspace } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

exports.activate = () => {
  const [command, ...args] = workspace.getConfiguration("odenet").get("command");
  client = new LanguageClient(
    "odenet",
    "odenet",
    { command, args },
    { documentSelector: [{ language: "ode" }] },
  );
  return client.start();
};

exports.deactivate = () => client?.stop();
