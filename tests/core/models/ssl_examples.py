"""Small random self-supervised encoders of all four families, as `transformers` makes them and writes them to a folder.

No test itself; tests of other folders put this one on `sys.path` to import it.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, Wav2Vec2FeatureExtractor

from sertool.core.models.config import SSLConfig
from sertool.core.models.ssl import SSLEncoder

FORMS = ("wavlm", "wavlm-large", "hubert", "hubert-large", "wav2vec2", "wav2vec2-large", "data2vec-audio")
"""Group norm in the front end and norms behind the sums of the layers, as the base models have; `-large` with layer
norms throughout, and before the layers. data2vec has layer norms in the front end, and behind the sums."""

FAMILIES = ("wavlm", "hubert", "wav2vec2", "data2vec-audio")


def architecture(form: str, **changes: Any) -> dict[str, Any]:
    """Return the `config.json` of a small encoder; its convolutions are as long as the real ones, so 50 Hz holds."""
    large = form.endswith("-large")
    settings: dict[str, Any] = {
        "model_type": form.removesuffix("-large"),
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "conv_dim": [8] * 7,
        "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
        "conv_stride": [5, 2, 2, 2, 2, 2, 2],
        "conv_bias": large,
        "num_conv_pos_embedding_groups": 4,
        "layerdrop": 0.1,
        "mask_time_prob": 0.05,
        # Not the usual 0.02: attention and perceptrons of this width would hardly change what they are given.
        "initializer_range": 0.1,
    }
    if form == "data2vec-audio":
        settings |= {"num_conv_pos_embeddings": 5, "conv_pos_kernel_size": 19}
    else:
        norm = "layer" if large else "group"
        settings |= {"feat_extract_norm": norm, "do_stable_layer_norm": large, "num_conv_pos_embeddings": 32}
    return settings | changes


def reference(form: str, seed: int = 0, **changes: Any) -> nn.Module:
    """Return the model of `transformers`, in evaluation mode, no norm or bias left at its initial ones and zeros."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModel.from_config(AutoConfig.for_model(**architecture(form, **changes)))
        for name, parameter in model.named_parameters():
            if "norm" in name or name.endswith("bias") or "gru_rel_pos_const" in name:
                parameter.data.add_(0.2 * torch.randn_like(parameter))
            if "rel_attn_embed" in name:
                parameter.data.normal_()
    return model.eval()


def encoder(form: str, seed: int = 0, *, dropout: float | None = None, **changes: Any) -> SSLEncoder:
    """Return our encoder with the weights of `reference`, in evaluation mode; it hears waveforms as they are."""
    weights = reference(form, seed, **changes).state_dict()
    weights = {name: tensor for name, tensor in weights.items() if name != "masked_spec_embed"}
    with torch.device("meta"):
        ours = SSLEncoder(SSLConfig(architecture=architecture(form, **changes), normalise=False, dropout=dropout))
    ours.load_state_dict(weights, assign=True)
    return ours.eval()


def save(model: nn.Module, folder: Path, *, normalise: bool = True) -> Path:
    """Write a model of `transformers` to a folder as its own tools do, the preprocessor's settings beside it."""
    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=normalise).save_pretrained(folder)
    return folder
