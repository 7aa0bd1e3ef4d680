"""What a cluster model hears of a set of utterances, computed once and kept on disk: no more than a batch in memory."""

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sertool.core.audio.files import read_audio
from sertool.core.audio.spectra import utterance_statistics
from sertool.core.clustering.config import ClusterConfig
from sertool.core.clustering.mel import file_mel_spectrum
from sertool.core.clustering.sentences import Sentences, cut_sentences, gather_frames
from sertool.core.corpus.batches import plan_by_length
from sertool.core.engine import map_tasks
from sertool.core.models.encoder import Encoder
from sertool.core.writing import whole_file, write_text

BATCH_S = 60.0
"""Seconds of audio, padding included, that an encoder hears at once."""


@dataclass(frozen=True)
class ChunkStore:
    """The chunks of a set of utterances.

    Attributes:
        sentences: which there are; starts in frames of the utterance.
        first_row: in `values`: of each utterance's frames, (N,); or of each sentence's chunks, (S,).
        values: on disk: mel frames of all utterances one behind the other, (T, mels); or a vector a chunk, (S C, F).
        chunk_frames: frames in a chunk, m.
        frame_s: seconds from one frame to the next.
        of_frames: whether `values` holds frames rather than vectors.
    """

    sentences: Sentences
    first_row: np.ndarray
    values: np.ndarray
    chunk_frames: int
    frame_s: float
    of_frames: bool

    def __len__(self) -> int:
        return len(self.sentences)

    @property
    def num_chunks(self) -> int:
        """Chunks of a sentence, C."""
        return self.sentences.starts.shape[1]

    def whole(self, sentences: np.ndarray) -> Tensor:
        """Return all chunks of some sentences, (n, C, m, mels), NaN beyond their own frames; or (n, C, F)."""
        places = np.broadcast_to(np.arange(self.num_chunks), (len(sentences), self.num_chunks))
        return self.picked(np.repeat(sentences, self.num_chunks), places.ravel()).unflatten(0, (-1, self.num_chunks))

    def picked(self, sentences: np.ndarray, places: np.ndarray) -> Tensor:
        """Return one chunk of each of some sentences, by its place from 0 to C - 1: (n, m, mels), or (n, F)."""
        if not self.of_frames:
            return torch.from_numpy(np.asarray(self.values[self.first_row[sentences] + places]))
        first = self.first_row[self.sentences.utterance[sentences]] + self.sentences.starts[sentences, places]
        return gather_frames(self.values, first, self.sentences.frames[sentences], chunk_frames=self.chunk_frames)

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of each mel band or feature over all frames or chunks, float32, (D,) each."""
        count, total, squares = len(self.values), 0.0, 0.0
        for first in range(0, count, 65_536):
            block = np.asarray(self.values[first : first + 65_536], dtype=np.float64)
            total, squares = total + block.sum(0), squares + np.square(block).sum(0)
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - np.square(mean), 0.0))
        # A band without any energy stays what it is: nothing.
        deviation[deviation == 0] = 1.0
        return torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()


def write_store(
    folder: Path,
    paths: Sequence[str],
    durations_s: np.ndarray,
    config: ClusterConfig,
    *,
    encoder: Encoder | None = None,
    device: torch.device | str = "cpu",
    workers: int = 1,
    done: Callable[[int], None] = lambda count: None,
) -> None:
    """Compute what a cluster model hears of utterances, once: where the folder holds it already, nothing is done.

    Args:
        folder: of the store; its index is written last and makes it valid.
        paths: audio files, N.
        durations_s: of them, (N,); an encoder hears those of similar length together.
        config: of the model.
        encoder: where the model hears one; on its device.
        device: of the encoder.
        workers: processes that compute mel spectra.
        done: called with how many utterances are done since the last call.

    Raises:
        AudioError: a file cannot be read.
        OutputError: the store cannot be written.
    """
    if _read_index(folder) is not None:
        return
    write = _write_mel if encoder is None else partial(_write_vectors, encoder=encoder, device=device)
    index = write(folder, paths, durations_s, config, workers=workers, done=done)
    write_text(folder / "index.json", json.dumps(index) + "\n")


def open_store(folder: Path, config: ClusterConfig) -> ChunkStore:
    """Return the store in a folder, its values mapped from disk."""
    index = _read_index(folder)
    num_frames = np.array(index["num_frames"], dtype=np.int64)
    sentences = cut_sentences(num_frames, chunk_frames=config.chunk_frames, num_chunks=config.chunks)
    values = np.memmap(folder / "values.f32", dtype=np.float32, mode="r").reshape(-1, index["width"])
    if config.input.kind == "mel":
        first_row, of_frames = np.cumsum(num_frames) - num_frames, True
        return ChunkStore(sentences, first_row, values, config.chunk_frames, config.frame_s, of_frames)
    # Vectors lie in the order in which the encoder heard the utterances.
    written = np.argsort(np.argsort(index["order"])[sentences.utterance], kind="stable")
    first_row = np.empty(len(sentences), dtype=np.int64)
    first_row[written] = np.arange(len(sentences)) * config.chunks
    return ChunkStore(sentences, first_row, values, config.chunk_frames, config.frame_s, of_frames=False)


def _read_index(folder: Path) -> dict | None:
    """Return a store's index; None where there is no whole store, as behind a power cut: it can be written again."""
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        whole = (folder / "values.f32").stat().st_size == 4 * index["rows"] * index["width"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return index if whole else None


def _write_mel(folder, paths, durations_s, config, *, workers, done) -> dict:
    num_frames = []
    compute = partial(file_mel_spectrum, mels=config.input.mels, log=config.input.log)
    workers = min(workers, 1 + len(paths) // 200)
    with (
        whole_file(folder / "values.f32", durable=False) as place,
        open(place, "wb") as file,
        closing(map_tasks(compute, list(paths), workers=workers)) as outcomes,
    ):
        for outcome in outcomes:
            if outcome.error:
                raise outcome.error
            file.write(outcome.value.astype(np.float32).tobytes())
            num_frames.append(len(outcome.value))
            done(1)
    return {"num_frames": num_frames, "rows": sum(num_frames), "width": config.input.mels}


def _write_vectors(folder, paths, durations_s, config, *, encoder, device, workers, done) -> dict:
    """Write the vectors of all chunks; the encoder hears a batch at a time, in an order that pads little."""
    num_frames, order, rows = np.zeros(len(paths), dtype=np.int64), [], 0
    with whole_file(folder / "values.f32", durable=False) as place, open(place, "wb") as file:
        for batch in plan_by_length(durations_s, batch_s=BATCH_S):
            states, lengths = _hidden_states(encoder, [paths[i] for i in batch], config.input.layer, device)
            num_frames[batch] = lengths
            for one, length in zip(states, lengths.tolist(), strict=True):
                cut = cut_sentences(np.array([length]), chunk_frames=config.chunk_frames, num_chunks=config.chunks)
                file.write(_spread(one[:length], cut, config.chunk_frames).tobytes())
                rows += cut.starts.size
            order += batch.tolist()
            done(len(batch))
    return {"num_frames": num_frames.tolist(), "order": order, "rows": rows, "width": 2 * encoder.dim}


@torch.no_grad()
def _hidden_states(encoder: Encoder, paths: list[str], layer: int | None, device) -> tuple[Tensor, np.ndarray]:
    samples = [torch.from_numpy(read_audio(path)) for path in paths]
    lengths = torch.tensor([len(one) for one in samples])
    raw = torch.nn.utils.rnn.pad_sequence(samples, batch_first=True).to(device)
    lengths = lengths.to(device)
    output = encoder(encoder.prepare(raw, lengths, utterance_statistics(raw, lengths)), lengths)
    if layer is not None:
        states = output.hidden_states[layer]
    else:
        states = sum(F.layer_norm(state.float(), state.shape[-1:]) for state in output.hidden_states)
        states = states / len(output.hidden_states)
    return states.float(), output.frame_lengths.cpu().numpy()


def _spread(states: Tensor, sentences: Sentences, chunk_frames: int) -> np.ndarray:
    """Return mean and deviation of the hidden states (T, D) over each chunk, float32, (S * C, 2 D)."""
    size = min(chunk_frames, len(states))
    rows = torch.from_numpy(sentences.starts).to(states.device).flatten()[:, None] + torch.arange(
        size, device=states.device
    )
    chunks = states[rows]  # (S * C, m, D)
    return torch.cat([chunks.mean(1), chunks.std(1, correction=0)], dim=1).cpu().numpy()
