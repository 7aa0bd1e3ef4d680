"""What may come between a training's inputs and its first update."""

from typing import Protocol

from accelerate import Accelerator

from sertool.core.training.inputs import Inputs
from sertool.core.training.reporter import Reporter
from sertool.core.training.run import Run


class Preparation(Protocol):
    """Makes what a training learns beside labels that stand in manifests: the targets of pre-training tasks."""

    def check(self, inputs: Inputs) -> Inputs:
        """Return inputs with what this adds to their identity, notes and audio heard.

        Raises:
            InputError: what the recipe names cannot be used.
        """

    def make(self, inputs: Inputs, run: Run, accelerator: Accelerator, reporter: Reporter) -> Inputs:
        """Return inputs with targets, made once in a run's folder, or found there; called by all processes."""
