"""Export of a policy to ONNX: raw observations in, actions in the environment's range out, the normaliser included."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from safepo import checkpoint
from safepo.algorithms.team import standardize
from safepo.distributions import Categorical, Params
from safepo.envs import ActionMap, Floats, action_map
from safepo.errors import UserError
from safepo.networks import ACTOR, ActorCritic
from safepo.normalize import EPSILON
from safepo.policy import Policy


class DeterministicPolicy(nn.Module):
    """The most probable action of one agent as a plain module: obs `(b, o)` float32 -> action `(b, u)` float32."""

    mean: Tensor
    scale: Tensor
    middle: Tensor
    half_range: Tensor
    encoded: Tensor
    one_hot: Tensor

    def __init__(
        self,
        net: ActorCritic,
        statistics: tuple[Floats, Floats],
        action: ActionMap,
        frames: int = 1,
        code: Sequence[float] = (),
        standardized: bool = False,
    ) -> None:
        """`statistics` are mean and variance `(o,)`; `code`, and `standardized`, what `Views` does to frames."""
        super().__init__()
        mean, var = statistics
        self.dist, self.frames, self.standardized = net.dist, frames, standardized
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("scale", 1 / torch.sqrt(torch.tensor(var) + EPSILON))
        self.register_buffer("one_hot", torch.tensor(code, dtype=torch.float32))
        middle, half = action_map(action.low, action.high)
        if action.sizes:
            middle, half = action.low, half * 0 + 1
        self.register_buffer("middle", torch.tensor(middle, dtype=torch.float32))
        self.register_buffer("half_range", torch.tensor(half, dtype=torch.float32))
        self.encoder = net.encoder
        self.register_buffer("encoded", net.params[: ACTOR + 1, net.encoded].clone())
        layers: list[nn.Module] = []
        for i, (weight, bias) in enumerate(net.layers):
            nin = net.ninput if i == 0 else weight.shape[1]
            linear = nn.Linear(nin, weight.shape[2])
            linear.weight.data, linear.bias.data = weight[ACTOR, :nin].T.clone(), bias[ACTOR, 0].clone()
            layers += [linear, nn.Tanh()]
        self.net = nn.Sequential(*layers[:-1])
        self.eval()

    def forward(self, obs: Tensor) -> Tensor:
        """Return actions; the statistics are subtracted in double precision, as in training."""
        normalized = ((obs.double() - self.mean) * self.scale).float()
        if len(self.one_hot) or self.standardized:
            parts = normalized.reshape(obs.shape[0], self.frames, -1)
            coded = torch.cat([parts, self.one_hot.expand(obs.shape[0], self.frames, len(self.one_hot))], dim=2)
            normalized = (standardize(coded) if self.standardized else coded).flatten(1)
        out = self.net(normalized if self.encoder is None else self.encoder(self.encoded, normalized)[ACTOR])
        if isinstance(self.dist, Categorical):
            out = self.dist.mode(Params(out, out[0, :0]))
        return self.middle + self.half_range * out


def plain(policy: Policy) -> dict[str, DeterministicPolicy]:
    """Return the modules of a policy by agent; one agent's name is empty."""
    net, (mean, var) = policy.net, policy.statistics
    if isinstance(net, ActorCritic):
        return {"": DeterministicPolicy(net, (mean, var), ActionMap.from_dict(policy.env["action"]))}
    modules, views = {}, net.views
    for i, (name, action) in enumerate(policy.env["agents"].items()):
        own = views.own[i]
        columns = views.columns[i][: own.size].numpy().reshape(own.frames, own.frame_size)
        size = own.parts[0].size
        seen, code = columns[:, :size].ravel(), (columns[0, size:] - policy.obs.size).tolist()
        modules[name] = DeterministicPolicy(
            net.nets[i], (mean[seen], var[seen]), ActionMap.from_dict(action), own.frames, code, views.standardized
        )
    return modules


def export(run: str | Path, output: str | Path | None = None) -> Path:
    """Write the latest checkpoint's policy as an ONNX file (default `RUN/policy.onnx`) and return its path.

    The file has one input, `obs (batch, o)` float32 (rows as `ObsMap` joins them), one output, `action (batch, u)`
    float32, and metadata that names the environment, the algorithm and the step.

    A team becomes a folder (default `RUN/policy`) of such files, `<agent>.onnx`. The input of each is what the agent's
    policy sees: what it senses, or the state (`policy_input`); several frames one after the other, the oldest first.

    Raises:
        UserError: `run` holds no checkpoint.
        ModuleNotFoundError: the packages of the extra `export` are missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401  # used by torch's exporter
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'{error.name} is not installed; pip install "safe-rl-suite[export]"', name=error.name
        ) from None
    source = checkpoint.resolve(run)
    state = checkpoint.load(source)
    policy = Policy.from_state(state)
    modules = plain(policy)
    about = {"env_id": policy.env_id, "algorithm": state["config"]["algorithm"], "step": str(state["step"])}
    path = Path(run) / "policy" if Path(run).is_dir() else source.with_suffix("")
    if "" in modules:
        path = Path(output or path.with_suffix(".onnx"))
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(modules[""], path, about, policy.env["action"])
        return path
    path = Path(output or path)
    path.mkdir(parents=True, exist_ok=True)
    for name, module in modules.items():
        _write(module, path / f"{name}.onnx", {**about, "agent": name}, policy.env["agents"][name])
    return path


def _write(module: DeterministicPolicy, path: Path, about: dict[str, str], action: dict[str, Any]) -> None:
    """Write one agent's policy."""
    import onnx

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it reports packages that are not needed here
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch's own making
        program: Any = torch.onnx.export(
            module,
            (torch.zeros(2, len(module.mean)),),
            input_names=["obs"],
            output_names=["action"],
            dynamic_shapes={"obs": {0: torch.export.Dim("batch")}},
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise UserError(f"torch could not export {path}")
    model = program.model_proto
    about = {**about, "action": json.dumps({key: list(map(float, action[key])) for key in ("low", "high")})}
    for key, value in about.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(model)
    onnx.save(model, path)
