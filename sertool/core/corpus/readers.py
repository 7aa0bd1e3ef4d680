"""The corpora that can be read, by name.

A corpus is one module beside this one, with two things in it:

- `read(folder) -> DataFrame`: one row a clip, with `path` (absolute), whichever of `speaker emotion gender text` and
  other columns the corpus has, in its own words (categories are mapped later), and `skipped`, which says why a clip is
  left out (null: it is not); `attrs["notes"]` may hold sentences the user should read. What a corpus lets one choose
  is a keyword with a default;
- `PROTOCOL`: a `sertool.core.corpus.splits.Protocol` that says how the corpus is published to be split.

A line in `READERS` makes it a command.
"""

import importlib
from types import ModuleType

READERS = {
    "ravdess": "RAVDESS: 24 actors, English, 8 emotions. Default: fold 0 of the published 6.",
    "emodb": "EmoDB: 10 actors, German, 7 emotions. Default: test 03 and 08, dev 09 and 10.",
    "nemo": "nEMO: 9 actors, Polish, 6 emotions. Default: test EB0 and KS0, dev IC0 and MP0.",
    "crema-d": "CREMA-D: 91 actors, English, 6 emotions, votes. Default: intended labels, fold 0 of the 5 in use.",
    "msp-podcast": "MSP-Podcast: podcasts, English, 8 emotions, attributes, votes. Default: the published split.",
    "iemocap": "IEMOCAP: 10 actors, English, 4 emotions or all, attributes, votes. Default: fold 0 of 5 sessions.",
}
"""The name of each corpus, and what its command says of it."""


def reader(name: str) -> ModuleType:
    """Return the module that reads a corpus of `READERS`; imported only now, so that listing the names stays quick."""
    return importlib.import_module(f"sertool.core.corpus.{name.replace('-', '_')}")
