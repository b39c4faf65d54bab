"""Export of a policy to ONNX: raw observations in, actions in the environment's range out, the normaliser included."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from safepo import checkpoint
from safepo.distributions import Categorical, Params
from safepo.envs import ActionMap, action_map
from safepo.errors import UserError
from safepo.networks import ACTOR, ActorCritic
from safepo.normalize import EPSILON
from safepo.policy import Policy


class DeterministicPolicy(nn.Module):
    """The policy's most probable action as a plain module: obs `(b, o)` float32 -> action `(b, u)` float32."""

    mean: Tensor
    scale: Tensor
    middle: Tensor
    half_range: Tensor
    encoded: Tensor

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        net, action = policy.net, ActionMap.from_dict(policy.env["action"])
        if not isinstance(net, ActorCritic):
            raise UserError(f"{policy.env_id} has several agents; only the policies of single agents can be exported")
        self.dist = net.dist
        mean, var = policy.statistics
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("scale", 1 / torch.sqrt(torch.tensor(var) + EPSILON))
        middle, half = action_map(action.low, action.high)
        if action.sizes:
            middle, half = action.low, half * 0 + 1
        self.register_buffer("middle", torch.tensor(middle, dtype=torch.float32))
        self.register_buffer("half_range", torch.tensor(half, dtype=torch.float32))
        self.encoder = net.encoder
        self.register_buffer("encoded", net.params[: ACTOR + 1, net.encoded].clone())
        layers: list[nn.Module] = []
        for weight, bias in net.layers:
            linear = nn.Linear(weight.shape[1], weight.shape[2])
            linear.weight.data, linear.bias.data = weight[ACTOR].T.clone(), bias[ACTOR, 0].clone()
            layers += [linear, nn.Tanh()]
        self.net = nn.Sequential(*layers[:-1])
        self.eval()

    def forward(self, obs: Tensor) -> Tensor:
        """Return actions; the statistics are subtracted in double precision, as in training."""
        normalized = ((obs.double() - self.mean) * self.scale).float()
        out = self.net(normalized if self.encoder is None else self.encoder(self.encoded, normalized)[ACTOR])
        if isinstance(self.dist, Categorical):
            out = self.dist.mode(Params(out, out[0, :0]))
        return self.middle + self.half_range * out


def export(run: str | Path, output: str | Path | None = None) -> Path:
    """Write the latest checkpoint's policy as an ONNX file (default `RUN/policy.onnx`) and return its path.

    The file has one input, `obs (batch, o)` float32 (rows as `ObsMap` joins them), one output, `action (batch, u)`
    float32, and metadata that names the environment, the algorithm and the step.

    Raises:
        UserError: `run` holds no checkpoint.
        ModuleNotFoundError: the packages of the extra `export` are missing.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  # used by torch's exporter
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'{error.name} is not installed; pip install "safe-rl-suite[export]"', name=error.name
        ) from None
    source = checkpoint.resolve(run)
    state = checkpoint.load(source)
    policy = Policy.from_state(state)
    if output is None:
        output = Path(run) / "policy.onnx" if Path(run).is_dir() else source.with_suffix(".onnx")
    path = Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    example = torch.zeros(2, policy.env["nobs"])
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it reports packages that are not needed here
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch's own making
        program: Any = torch.onnx.export(
            DeterministicPolicy(policy),
            (example,),
            input_names=["obs"],
            output_names=["action"],
            dynamic_shapes={"obs": {0: torch.export.Dim("batch")}},
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise UserError(f"torch could not export {source}")
    model = program.model_proto
    about = {"env_id": policy.env_id, "algorithm": state["config"]["algorithm"], "step": str(state["step"])}
    about["action"] = json.dumps({key: list(map(float, policy.env["action"][key])) for key in ("low", "high")})
    for key, value in about.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path
