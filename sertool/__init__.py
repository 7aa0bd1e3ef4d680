"""Speech emotion recognition that holds up in noise, with the enhanced speech from the same model.

    >>> import sertool
    >>> model = sertool.load()                            # doctest: +SKIP
    >>> model.predict(samples, rate).label                # doctest: +SKIP
    'anger'
    >>> model.enhance(samples, rate).shape == samples.shape  # doctest: +SKIP
    True

Samples are NumPy arrays or torch tensors, floating point, (S,) or (S, channels), at any rate; what comes back is of the
same kind, shape and rate.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sertool.core.corpus.mixing import add_noise as mix
    from sertool.core.evaluation.by_snr import evaluate
    from sertool.core.models.inference import enhance, load, predict

__all__ = ["__version__", "enhance", "evaluate", "load", "mix", "predict"]

# Where each public name lives. Resolved at first use, so that `import sertool` stays light (torch takes seconds).
_HOMES = {
    "load": ("sertool.core.models.inference", "load"),
    "enhance": ("sertool.core.models.inference", "enhance"),
    "predict": ("sertool.core.models.inference", "predict"),
    "evaluate": ("sertool.core.evaluation.by_snr", "evaluate"),
    "mix": ("sertool.core.corpus.mixing", "add_noise"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("sertool")
    elif name in _HOMES:
        module, own_name = _HOMES[name]
        value = getattr(importlib.import_module(module), own_name)
    else:
        raise AttributeError(f"module 'sertool' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
