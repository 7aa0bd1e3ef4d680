"""The network against the same layers in plain torch, its sizes by hand, and what learns."""

import pytest
import torch
from torch.nn import functional as F

from sertool.core.clustering.batch_norm import BatchNorm2d
from sertool.core.clustering.config import ClusterConfig, EncoderInput, MelInput
from sertool.core.clustering.network import ClusterModel
from sertool.core.models.config import BaseConfig, LogMelConfig

SMALL = MelInput(mels=32, channels=(2, 2, 4, 4, 6, 6, 6))
ENCODER = EncoderInput(encoder=LogMelConfig(), base=BaseConfig(name="elsewhere", digest="0" * 64))
KINDS = ["none", "gru", "cnn", "transformer", "triplet"]


def make(encoder_dim: int | None = None, **settings) -> ClusterModel:
    torch.manual_seed(0)
    heard = {"input": ENCODER} if encoder_dim else {"input": SMALL}
    targets = {} if "categories" in settings else {"attributes": ("arousal", "valence")}
    return ClusterModel(ClusterConfig(**(heard | targets | settings)), encoder_dim)


def chunks(num_sentences: int = 3, num_chunks: int = 4, frames: int = 62, mels: int = 32, seed: int = 0):
    return torch.randn(num_sentences, num_chunks, frames, mels, generator=torch.Generator().manual_seed(seed))


def count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_published_size():
    convolutions = [(1, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128), (128, 128)]
    trunk = sum(9 * before * after + after + 2 * after for before, after in convolutions) + 1024 * 256 + 256
    clusters = 256 * 256 + 256 + 256 * 10 + 10
    regressor = 256 * 256 + 256 + 256 + 1
    model = make(input=MelInput(), attributes=("arousal",))
    assert count(model) == trunk + clusters + regressor == 831_979
    assert count(make(input=MelInput(), attributes=("arousal",), clusters=0)) == trunk + regressor


def test_statistics_are_those_of_all_processes():
    model = make(temporal="cnn")
    layers = [layer for layer in model.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert len(layers) == 7 + 2 and all(isinstance(layer, BatchNorm2d) for layer in layers)


def test_half_the_channels():
    half = tuple(channels // 2 for channels in MelInput().channels)
    model = make(input=MelInput(channels=half))
    assert model.trunk.project.in_features == 512
    assert model(chunks(1, 2, mels=128)).shared.shape == (1, 2, 256)


@pytest.mark.parametrize(
    ("chunk_s", "frames", "mels", "left"),
    [(0.992, 62, 32, 2 * 1), (0.992, 62, 128, 2 * 4), (0.512, 32, 40, 1 * 2), (0.528, 33, 80, 2 * 3), (0.1, 6, 64, 2)],
)
def test_any_length_of_chunks_and_any_number_of_bands(chunk_s, frames, mels, left):
    model = make(input=MelInput(mels=mels, channels=SMALL.channels), chunk_s=chunk_s)
    assert model.trunk.project.in_features == 6 * left
    assert model(chunks(2, 3, frames, mels)).estimates.shape == (2, 3, 2)


@pytest.mark.parametrize("temporal", KINDS)
@pytest.mark.parametrize("num_chunks", [1, 11])
def test_shapes(temporal, num_chunks):
    output = make(temporal=temporal, clusters=5)(chunks(3, num_chunks))
    assert [tuple(tensor.shape) for tensor in output] == [(3, num_chunks, width) for width in (256, 256, 5, 2)]


def test_an_encoders_vectors():
    model = make(encoder_dim=7, categories=("anger", "joy", "neutral"), temporal="gru")
    assert model.input_mean.shape == (14,)
    output = model(torch.randn(2, 4, 14))
    assert output.estimates.shape == (2, 4, 3) and output.features.shape == (2, 4, 256)


@pytest.mark.parametrize("encoder_dim", [None, 7])
def test_an_encoder_and_its_width_belong_together(encoder_dim):
    with pytest.raises(ValueError, match="encoder_dim"):
        ClusterModel(ClusterConfig(input=SMALL if encoder_dim else ENCODER, attributes=("arousal",)), encoder_dim)


def test_without_clusters_the_shared_features_are_left():
    model = make(clusters=0)
    output = model(chunks())
    assert output.logits is None and model.top is None
    assert torch.equal(output.features, output.shared)
    with pytest.raises(ValueError, match="no clusters"):
        model.reset_top(torch.Generator())


@pytest.mark.parametrize("training", [False, True])
def test_it_is_the_published_layers(training):
    model, heard = make(dropout=0.0).train(training), chunks()
    with torch.no_grad():  # so that batch normalisation in evaluation has something to do
        for buffer in model.trunk.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 2.0)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    maps = heard.flatten(0, 1)[:, None]
    for layer, stride in enumerate((1, 1, 2, 2, 2, 2, 2)):
        own = {
            name: state.get(f"trunk.convolutions.{3 * layer + 1}.{name}") for name in ("running_mean", "running_var")
        }
        convolution = [state[f"trunk.convolutions.{3 * layer}.{name}"] for name in ("weight", "bias")]
        maps = F.relu(F.batch_norm(F.conv2d(maps, *convolution, stride=stride, padding=1), **own, training=training))

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    shared = F.relu(linear("trunk.project", maps.flatten(1))).unflatten(0, (3, 4))
    features = linear("cluster_hidden", shared)
    estimates = linear("regressor.2", F.relu(linear("regressor.0", shared)))
    expected = (shared, features, linear("top", F.relu(features)), estimates)
    for found, wanted in zip(model(heard), expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("temporal", KINDS)
def test_every_weight_learns_from_both_losses_together(temporal):
    model = make(temporal=temporal, clusters=3)
    output = model(chunks())
    labels = torch.arange(12).reshape(3, 4) % 3
    (F.cross_entropy(output.logits.flatten(0, 1), labels.flatten()) + output.estimates.square().mean()).backward()
    # A bias in front of batch normalisation moves nothing.
    hidden = {name for name, layer in model.named_modules() if isinstance(layer, torch.nn.Conv2d)}
    resting = {name for name, tensor in model.named_parameters() if tensor.grad is None or not tensor.grad.any()}
    assert resting <= {f"{name}.bias" for name in hidden}


def test_the_regressor_moves_under_an_optimizer_and_learns():
    model, heard = make(dropout=0.0, attributes=("arousal",)), chunks(6, 2)
    target = torch.linspace(2, 6, 6)[:, None].expand(6, 2)
    before = {name: tensor.clone() for name, tensor in model.regressor.named_parameters()}
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss = F.mse_loss(model(heard).estimates[..., 0], target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(not torch.equal(tensor, before[name]) for name, tensor in model.regressor.named_parameters())
    assert losses[-1] < 0.5 * losses[0]


def test_weights_are_drawn_as_published():
    model = make(input=MelInput(), attributes=("arousal", "valence"), temporal="transformer")
    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear):
            assert layer.weight.std().item() == pytest.approx(0.01, rel=0.1)
            if layer is not model.regressor[-1]:
                assert not layer.bias.any()
        elif isinstance(layer, torch.nn.Conv2d):
            assert layer.weight.std().item() == pytest.approx((2 / (9 * layer.out_channels)) ** 0.5, rel=0.1)
            assert not layer.bias.any()


def test_attributes_start_in_the_middle_of_the_scale_and_categories_at_nothing():
    assert model_mean(make()) == pytest.approx(4.0, abs=0.05)
    assert model_mean(make(categories=("anger", "joy"))) == pytest.approx(0.0, abs=0.05)


def model_mean(model: ClusterModel) -> float:
    return model(chunks()).estimates.mean().item()


@pytest.mark.parametrize("temporal", KINDS)
def test_in_evaluation_a_sentence_does_not_depend_on_its_batch(temporal):
    model, heard = make(temporal=temporal).eval(), chunks(5)
    together = model(heard)
    for found, wanted in zip(model(heard[3:4]), together, strict=True):
        torch.testing.assert_close(found[0], wanted[3], atol=1e-5, rtol=1e-5)
    assert all(torch.equal(again, once) for again, once in zip(model(heard), together, strict=True))


@pytest.mark.parametrize("temporal", ["none", "triplet"])
def test_without_a_net_a_chunk_does_not_depend_on_its_sentence(temporal):
    model, heard = make(temporal=temporal).eval(), chunks()
    in_turn = model(heard.flatten(0, 1)[:, None])
    torch.testing.assert_close(in_turn.estimates[:, 0].unflatten(0, (3, 4)), model(heard).estimates)


def test_dropout_stands_behind_the_shared_features_alone():
    model = make(dropout=0.5)
    shared = model(chunks(20, 5)).shared
    assert 0.6 < (shared == 0).float().mean() < 0.9  # half by ReLU, half of the others by dropout
    assert [name for name, layer in model.named_modules() if isinstance(layer, torch.nn.Dropout)] == ["trunk.dropout"]


@pytest.mark.parametrize("temporal", KINDS)
def test_in_bf16_the_heads_and_the_statistics_stay_single(temporal):
    model, heard = make(temporal=temporal, dropout=0.0), chunks()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(heard)
    sum(tensor.mean() for tensor in output).backward()
    assert {tensor.dtype for tensor in output} == {torch.float32}
    assert all(tensor.isfinite().all() for tensor in output)
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert {buffer.dtype for buffer in model.buffers()} == {torch.float32, torch.int64}
    estimates = make(temporal=temporal, dropout=0.0).double()(heard.double()).estimates
    torch.testing.assert_close(output.estimates.double(), estimates, atol=0.02, rtol=0.0)


def test_what_is_heard_is_normalised_by_band_and_clipped():
    model = make()
    mean, std = torch.linspace(-3, 3, 32), torch.linspace(0.1, 2, 32)
    model.set_statistics(mean, std)
    heard = chunks() * 4
    expected = ((heard.numpy() - mean.numpy()) / std.numpy()).clip(-3, 3)
    assert model.normalise(heard).numpy() == pytest.approx(expected, abs=1e-5)
    assert model.normalise(heard).abs().max() == 3.0


@pytest.mark.parametrize(
    ("mean", "std", "wrong"),
    [
        (torch.zeros(5), torch.ones(32), "shape"),
        (torch.zeros(32), torch.ones(1), "shape"),
        (torch.full((32,), float("nan")), torch.ones(32), "finite"),
        (torch.zeros(32), torch.zeros(32), "positive"),
    ],
)
def test_statistics_that_cannot_be(mean, std, wrong):
    with pytest.raises(ValueError, match=wrong):
        make().set_statistics(mean, std)


def test_the_top_layer_is_drawn_anew():
    model = make(clusters=100)
    others = {name: tensor.clone() for name, tensor in model.state_dict().items() if not name.startswith("top.")}
    torch.nn.init.ones_(model.top.bias)
    model.reset_top(torch.Generator().manual_seed(3))
    first = model.top.weight.clone()
    assert first.std().item() == pytest.approx(0.01, rel=0.05) and abs(first.mean().item()) < 0.001
    assert not model.top.bias.any()
    model.reset_top(torch.Generator().manual_seed(4))
    assert not torch.equal(model.top.weight, first)
    model.reset_top(torch.Generator().manual_seed(3))
    assert torch.equal(model.top.weight, first) and model.top.weight.requires_grad
    assert all(torch.equal(tensor, others[name]) for name, tensor in model.state_dict().items() if name in others)


@pytest.mark.parametrize("temporal", ["none", "cnn"])
def test_what_is_stored_makes_the_same_model(temporal):
    model, heard = make(temporal=temporal), chunks()
    model.set_statistics(torch.full((32,), 0.5), torch.full((32,), 2.0))
    model(heard)  # moves the running statistics
    torch.manual_seed(9)
    other = ClusterModel(model.config)
    other.load_own_state(model.own_state())
    assert all(tensor.is_contiguous() for tensor in other.own_state().values())
    output, again = (one.eval()(one.normalise(heard)) for one in (model, other))
    assert all(torch.equal(*pair) for pair in zip(output, again, strict=True))


@pytest.mark.parametrize(
    "change", [lambda state: state.pop("top.bias"), lambda state: state.update(more=torch.ones(1))]
)
def test_what_is_stored_has_to_fit(change):
    model = make()
    state = model.own_state()
    change(state)
    with pytest.raises(RuntimeError):
        model.load_own_state(state)
