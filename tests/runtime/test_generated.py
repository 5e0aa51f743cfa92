"""Generated modules leave `sys.modules` and the line cache once none of their objects is used."""

import gc
import linecache
import pickle
import sys

from odenet.runtime import generated

SOURCE = "class Thing:\n    number = {}\n    def double(self):\n        return 2 * self.number\n"


def loaded_modules() -> set[str]:
    return {name for name in sys.modules if name.startswith("odenet.generated.Many_")}


def cached_sources() -> set[str]:
    return {name for name in linecache.cache if name.startswith("<odenet Many ")}


def test_modules_and_their_texts_do_not_pile_up(monkeypatch):
    # As in a new process, since tests before this one may still hold modules.
    monkeypatch.setattr(generated, "_file_names", {})
    monkeypatch.setattr(generated, "_count_after_clearing", [generated.LEAST_COUNT])
    for number in range(5 * generated.LEAST_COUNT):
        generated.load_generated("Many", SOURCE.format(number))
    bound = 2 * generated.LEAST_COUNT  # where unused modules are forgotten
    assert len(loaded_modules()) <= bound and len(cached_sources()) <= bound
    generated._forget_unused()
    assert not loaded_modules() and not cached_sources()


def test_a_module_whose_object_is_used_stays_and_can_be_pickled():
    thing = generated.load_generated("Many", SOURCE.format("-7")).Thing()
    name = type(thing).__module__
    for number in range(1000, 1000 + 2 * generated.LEAST_COUNT):
        generated.load_generated("Many", SOURCE.format(number))
    assert name in sys.modules
    assert pickle.loads(pickle.dumps(thing)).double() == -14
    del thing
    generated._forget_unused()
    gc.collect()
    assert name not in sys.modules
