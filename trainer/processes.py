"""The processes of one training run: one alone, or those that `accelerate launch` or `torchrun` started, each with its share of a step.

Reads their environment; writes nothing. Every process orders the same batches and takes its own, so that none has to tell
another what to do: only gradients, losses and the decision to save go between them.
"""

import atexit
import copy
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel

T = TypeVar("T")
WAIT = timedelta(hours=24)  # the others wait while the first one judges and publishes


class Processes:
    """One process and its device, or several that train one model: copies of it (DDP), or a part of it each (FSDP)."""

    def __init__(self) -> None:
        self.rank, self.count, self.sharded = 0, int(os.environ.get("WORLD_SIZE", "1")), False
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._twin: nn.Module | None = None
        if self.count > 1:
            from accelerate import PartialState  # finds the device, the backend and the addresses that the launcher gave

            state = PartialState(cpu=not torch.cuda.is_available(), timeout=WAIT)
            self.rank, self.device = state.process_index, state.device
            atexit.register(state.destroy_process_group)  # else its threads, still waiting when Python ends, now and then abort the process
            self.sharded = os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """Give the module whose calls add up gradients over all processes; as it is for one alone."""
        if self.count == 1:
            return module
        if not self.sharded:
            return DistributedDataParallel(module, broadcast_buffers=False)  # on one device each, so no inputs to move
        if self._twin is None:
            # A copy without weights, to be filled when training is over: shards cannot be turned back into a module.
            self._twin = copy.deepcopy(module, {id(p): nn.Parameter(p.to("meta"), p.requires_grad) for p in module.parameters()})
            self._shard(module)
        return module

    def share(self, batches: Sequence[T]) -> list[tuple[T, bool]]:
        """Return this process's batches and whether each counts: all take the same number, so some pass over one once more for nothing."""
        rounds = -(-len(batches) // self.count)
        places = [turn * self.count + self.rank for turn in range(rounds)]
        return [(batches[place] if place < len(batches) else batches[0], place < len(batches)) for place in places]

    def quiet(self, module: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """Keep copies from exchanging gradients before the last batch of a step."""
        return nullcontext() if last or not isinstance(module, DistributedDataParallel) else module.no_sync()

    def total(self, values: Tensor) -> Tensor:
        """Return the sum of a small tensor over all processes."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def decide(self, wanted: bool) -> bool:
        """Return what the first process wants, on every process."""
        return bool(self.total(torch.tensor(float(wanted and self.is_first), device=self.device))) if self.count > 1 else wanted

    def tell(self, value: T) -> T:
        """Return the first process's value on every process, which all wait for it."""
        if self.count == 1:
            return value
        told = [value]
        dist.broadcast_object_list(told, device=self.device)
        return told[0]

    def weights(self, module: nn.Module) -> dict[str, Tensor]:
        """Return the parameters by name; of shards, gathered on the first process and empty on the others."""
        if not self.sharded:
            return {name: p.detach() for name, p in module.named_parameters()}
        gathered = _gather().get_model_state_dict(module, options=_gather().StateDictOptions(full_state_dict=True, cpu_offload=True))
        return {name: gathered[name] for name, _ in module.named_parameters() if name in gathered}

    def optimizer_state(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """Return the optimizer's state and groups; of shards, gathered as `weights` does it."""
        if not self.sharded:
            return optimizer.state_dict()
        options = _gather().StateDictOptions(full_state_dict=True, cpu_offload=True)
        return _gather().get_optimizer_state_dict(module, optimizer, options=options)

    def restore_optimizer(self, module: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        """Give an optimizer the state that `optimizer_state` returned."""
        if not self.sharded:
            optimizer.load_state_dict(state)
        else:
            _gather().set_optimizer_state_dict(module, optimizer, state, options=_gather().StateDictOptions(full_state_dict=True))

    def whole(self, module: nn.Module) -> nn.Module:
        """Return the trained module with all its weights: itself, or on the first process the twin filled from the shards."""
        if self._twin is None:
            return module
        weights = self.weights(module)
        if self.is_first:
            for name, _ in list(self._twin.named_parameters()):
                owner, _, own = name.rpartition(".")
                setattr(self._twin.get_submodule(owner), own, nn.Parameter(weights[name]))
            for part in self._twin.modules():
                if isinstance(part, PreTrainedModel):
                    part.tie_weights()  # filled one by one, an embedding and the output that shares it are two
        return self._twin

    def _shard(self, module: nn.Module) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(self.device.type, (self.count,))
        blocks = {name for part in module.modules() for name in getattr(part, "_no_split_modules", None) or ()}
        for part in [*(one for one in module.modules() if type(one).__name__ in blocks), module]:
            fully_shard(part, mesh=mesh)


def _gather() -> Any:
    from torch.distributed.checkpoint import state_dict  # three seconds to import: only where weights are sharded

    return state_dict
