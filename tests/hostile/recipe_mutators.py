"""Hostile YAML: aliases that multiply, tags that name Python objects, values no recipe should hold."""

from byte_mutators import general_attacks

SCALARS = (
    "null",
    "~",
    "true",
    "no",
    "",
    "0",
    "-1",
    "1",
    "1e999",
    ".inf",
    "-.inf",
    ".nan",
    "1e308",
    "1e-320",
    "9" * 400,
    "9" * 6000,
    "0x7fffffffffffffff",
    "0b1",
    "1_000_000_000",
    "10000000000",
    "1:30",
    "2026-01-01",
    "'x'",
    "[]",
    "{}",
    "[1, 2]",
    "{a: 1}",
    "[[[[]]]]",
    "'" + "x" * 100_000 + "'",
    "!!binary aGVsbG8=",
    "!!set {a, b}",
    "!!omap [a: 1]",
    "!!timestamp 2026-01-01",
    "!!float .inf",
    "!!int 0o17",
    "!!str 5",
    '"\\0"',
    '"\\ud800"',
    "&a x",
    "*a",
    "|\n    text",
    ">\n    text",
)
PARTS = ("[heads]", "[heads, encoder-upper]", "[front-end]")
KEYS = (
    "seed",
    "tasks",
    "layer_sum",
    "schedule",
    "device",
    "checkpoint_updates",
    "tensorboard",
    "data.manifests",
    "data.max_s",
    "data.on_unknown",
    "data.speed_change",
    "data.workers",
    "noise.source",
    "noise.kinds",
    "noise.snr_db",
    "noise.clean_share",
    "noise.dev_snr_db",
    "encoder.name",
    "encoder.compact",
    "encoder.compact.layers",
    "encoder.compact.dim",
    "encoder.compact.mels",
    "encoder.compact.kernel",
    "encoder.compact.dilations",
    "encoder.compact.expansion",
    "emotion.categories",
    "emotion.attributes",
    "emotion.hidden",
    "emotion.dropout",
    "emotion.weight",
    "enhancement.projection",
    "enhancement.hidden",
    "enhancement.crop_s",
    "enhancement.weight",
    "optimisation.epochs",
    "optimisation.learning_rate",
    "optimisation.encoder_rate",
    "optimisation.weight_decay",
    "optimisation.warmup_updates",
    "optimisation.batch_size",
    "optimisation.accumulation",
    "optimisation.clip_norm",
    "optimisation.precision",
    "data",
    "noise",
    "encoder",
    "emotion",
    "enhancement",
    "optimisation",
    "votes",
    "__class__",
    "model_config",
)


def _objects(rng, sources):
    """Tags that would make Python objects or run code, were the loader not a safe one."""
    canary = sources.places["canary"] + ".ran"
    command = f"touch {canary}"
    return rng.choice(
        (
            f"!!python/object/apply:os.system ['{command}']\n",
            f"seed: !!python/object/apply:os.system ['{command}']\n",
            f"seed: !!python/object/new:subprocess.Popen [['touch', '{canary}']]\n",
            f"device: !!python/object/apply:builtins.eval [\"open('{canary}', 'w')\"]\n",
            "device: !!python/name:os.system\n",
            "device: !!python/module:antigravity\n",
            "seed: !!python/tuple [1, 2]\n",
            "seed: !!python/long 5\n",
            "tasks: !!python/object:sertool.core.training.recipe.Recipe {}\n",
            "seed: !unknown 5\n",
            "%TAG ! tag:yaml.org,2002:python/\n---\nseed: !object/apply:os.system ['" + command + "']\n",
            "seed: !<tag:yaml.org,2002:python/object/apply:os.system> ['" + command + "']\n",
            f"data:\n  manifests: ['$(touch {canary})', '`touch {canary}`', '| touch {canary}']\n",
        )
    ).encode(), False


def _aliases(rng, sources):
    """Billion laughs: nine levels of lists of nine aliases, as values or in a section."""
    depth, width = rng.choice(((9, 9), (30, 2), (5, 100), (3, 3)))
    lines = ["a0: &a0 [lol]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, depth + 1)]
    key = rng.choice(("tasks", "seed", "data", "device", "schedule"))
    extra = rng.choice(
        (
            "",
            f"{key}: *a{depth}\n",
            f"data: {{manifests: *a{depth}}}\n",
            f"noise: {{kinds: *a{depth}, snr_db: *a{depth}}}\n",
            f"emotion: {{categories: *a{depth}}}\n",
        )
    )
    if rng.random() < 0.3:  # as one value, so that no unknown key comes first
        nested = "&b0 [lol]"
        for i in range(1, depth + 1):
            nested = f"&b{i} [{nested}{f', *b{i - 1}' * (width - 1)}]"
        return f"{key}: {nested}\n".encode(), False
    return ("\n".join(lines) + "\n" + extra).encode(), False


def _merges(rng, sources):
    """Merge keys, over and over or of themselves."""
    lines = ["a0: &a0 {x: 1}"] + [
        f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, rng.choice((3, 8, 20)))
    ]
    return rng.choice(
        (
            "\n".join(lines).encode(),
            b"<<: {seed: 5}\n",
            b"<<: 5\n",
            b"<<: [1, 2]\n",
            b"&a\n<<: *a\nseed: 1\n",
            b"data: &d {max_s: 5}\nnoise: {<<: *d}\n",
        )
    ), False


def _recursive(rng, sources):
    return rng.choice(
        (
            b"&a [*a]\n",
            b"&a {seed: *a}\n",
            b"tasks: &t [*t]\n",
            b"data: &d\n  manifests: *d\n",
            b"schedule: &s [{train: *s, epochs: 1}]\n",
            b"noise: &n {kinds: [*n], snr_db: [*n]}\n",
            b"emotion: &e {categories: *e}\n",
        )
    ), False


def _deep(rng, sources):
    depth = rng.choice((100, 2000, 50_000))
    return rng.choice(
        (
            b"[" * depth,
            b"[" * depth + b"]" * depth,
            b"{a: " * depth + b"1" + b"}" * depth,
            b"tasks: " + b"[" * depth + b"]" * depth,
            b"\n".join(b" " * i + b"a:" for i in range(min(depth, 2000))),
            b"- " * depth + b"x",
            b"? " * depth + b"x",
        )
    ), False


def _doubled(rng, sources):
    """The same key twice."""
    base = sources.pick(rng, "yaml")
    return base + rng.choice(
        (b"\nseed: 7\n", b"\ndata: {max_s: 3}\n", b"\noptimisation: {epochs: 1, epochs: 2}\n")
    ), False


def _large(rng, sources):
    return rng.choice(
        (
            b"# " + b"x" * 5_000_000,
            b"device: " + b"x" * 3_000_000,
            b"tasks: [" + b"emotion, " * 50_000 + b"]",
            b"data: {manifests: [" + b"a.csv, " * 30_000 + b"]}",
            b"".join(b"key%d: 1\n" % i for i in range(30_000)),
            b"noise: {snr_db: [" + b"0, " * 30_000 + b"]}",
            b"schedule: [" + b"{train: [heads], epochs: 1}, " * 10_000 + b"]",
            b"emotion: {categories: [" + b"a, " * 30_000 + b"]}",
        )
    ), False


def _other_kinds(rng, sources):
    return rng.choice(
        (
            b"",
            b"---\n...\n",
            b"5",
            b"text",
            b"- a\n- b\n",
            b"null",
            b"seed: 1\n---\nseed: 2\n",
            b"\xff\xfe" + "seed: 1\n".encode("utf-16-le"),
            b"\xef\xbb\xbfseed: 1\n",
            b"seed: 1\r\ntasks:\r\n\t- emotion\r\n",
            b"\0\0\0",
            b"1: 2\n",
            b"? [a, b]\n: 1\n",
            b"? {a: b}\n: 1\n",
            b"null: 1\n",
            b"true: 1\n",
            b"1.5: 1\n",
            b"2026-01-01: 1\n",
            b"data: {1: 2, null: 3}\n",
            b"%YAML 9.9\n---\nseed: 1\n",
            b'{"seed": 1}',
            sources.pick(rng, "wav"),
            sources.pick(rng, "config"),
        )
    ), False


def _scalars(rng, sources):
    """One to three settings of a recipe with values they should not have."""
    lines = []
    for key in rng.sample(KEYS, rng.randint(1, 3)):
        value = rng.choice(SCALARS)
        parts = key.split(".")
        lines.append(
            "".join(f"{'  ' * depth}{part}:\n" for depth, part in enumerate(parts[:-1]))
            + f"{'  ' * (len(parts) - 1)}{parts[-1]}: {value}\n"
        )
    return "".join(lines).encode("utf-8", "surrogatepass"), False


def _stages(rng, sources):
    """Lists of stages for a schedule."""
    stage = (
        "{"
        + ", ".join(
            f"{rng.choice(('train', 'epochs', 'rate', 'x'))}: {rng.choice((*SCALARS[:30], *PARTS))}"
            for _ in range(rng.randint(0, 4))
        )
        + "}"
    )
    return f"- {stage}\n- {{train: [heads], epochs: {rng.choice((0, 1, -1, 10**9, 10**400))}}}\n".encode(), False


YAML_ATTACKS = {
    **general_attacks("yaml"),
    "objects": _objects,
    "aliases": _aliases,
    "merges": _merges,
    "recursive": _recursive,
    "deep": _deep,
    "doubled": _doubled,
    "large": _large,
    "other-kinds": _other_kinds,
    "scalars": _scalars,
    "scalars-again": _scalars,
    "scalars-more": _scalars,
    "stages": _stages,
}
