"""The processes of one training run: a single one, or several that `accelerate launch` or `torchrun` started.

Reads the environment; writes nothing. Every process makes the same order of batches and takes its share. The processes exchange only
gradients, losses and the decision to save.
"""

import atexit
import copy
import gc
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
WAIT = timedelta(hours=24)  # the others wait while the first one judges and writes the model


class Processes:
    """One process with its device, or several that train one model: each with a copy (DDP) or with a part (FSDP)."""

    def __init__(self) -> None:
        self.rank, self.count, self.sharded = 0, int(os.environ.get("WORLD_SIZE", "1")), False
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._twin: nn.Module | None = None
        self._copies: list[DistributedDataParallel] = []
        self._shards: list[Any] = []
        if self.count > 1:
            from accelerate import PartialState  # finds the device, the backend and the launcher's addresses

            state = PartialState(cpu=not torch.cuda.is_available(), timeout=WAIT)
            self.rank, self.device = state.process_index, state.device
            atexit.register(self.leave)
            self.sharded = os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def leave(self) -> None:
        """End the threads that exchange gradients. A thread that still ran when Python ends could abort the process.

        torch ends them when nothing refers to the process group any more. Wrapped modules, shards and their mesh do, so this cuts them off.
        """
        for wrapped in self._copies:
            for name in ("reducer", "logger", "process_group"):
                wrapped.__dict__.pop(name, None)
        for part in self._shards:
            for group in part._get_fsdp_state()._fsdp_param_groups:
                group.mesh_info.shard_process_group = None
                group.mesh_info.mesh._pg_registry.clear()
        self._copies.clear()
        self._shards.clear()
        if dist.is_initialized():
            dist.destroy_process_group()
        gc.collect()

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return a module that adds up gradients over all processes; for a single process the module itself."""
        if self.count == 1:
            return module
        if not self.sharded:
            self._copies.append(DistributedDataParallel(module, broadcast_buffers=False))  # each has one device: no inputs need moving
            return self._copies[-1]
        if self._twin is None:
            # A copy without weights, filled after the training: shards cannot be turned back into a module.
            self._twin = copy.deepcopy(module, {id(p): nn.Parameter(p.to("meta"), p.requires_grad) for p in module.parameters()})
            self._shard(module)
        return module

    def share(self, batches: Sequence[T]) -> list[tuple[T, bool]]:
        """Return this process's batches and whether each counts. All take the same number, so some repeat one that does not count."""
        rounds = -(-len(batches) // self.count)
        places = [turn * self.count + self.rank for turn in range(rounds)]
        return [(batches[place] if place < len(batches) else batches[0], place < len(batches)) for place in places]

    def quiet(self, module: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """Stop copies from exchanging gradients before the last batch of a step."""
        return nullcontext() if last or not isinstance(module, DistributedDataParallel) else module.no_sync()

    def total(self, values: Tensor) -> Tensor:
        """Return the sum of a small tensor over all processes."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def decide(self, wanted: bool) -> bool:
        """Return the first process's decision on every process."""
        return bool(self.total(torch.tensor(float(wanted and self.is_first), device=self.device))) if self.count > 1 else wanted

    def tell(self, value: T) -> T:
        """Return the first process's value on every process. The others wait for it."""
        if self.count == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, device=self.device)
        return values[0]

    def weights(self, module: nn.Module) -> dict[str, Tensor]:
        """Return the parameters by name. Shards are gathered on the first process; the others get an empty mapping."""
        if not self.sharded:
            return {name: p.detach() for name, p in module.named_parameters()}
        gathered = _gather().get_model_state_dict(module, options=_gather().StateDictOptions(full_state_dict=True, cpu_offload=True))
        return {name: gathered[name] for name, _ in module.named_parameters() if name in gathered}

    def optimizer_state(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """Return the optimizer's state and groups; shards are gathered as in `weights`."""
        if not self.sharded:
            return optimizer.state_dict()
        options = _gather().StateDictOptions(full_state_dict=True, cpu_offload=True)
        return _gather().get_optimizer_state_dict(module, optimizer, options=options)

    def restore_optimizer(self, module: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        """Load a state that `optimizer_state` returned."""
        if not self.sharded:
            optimizer.load_state_dict(state)
        else:
            _gather().set_optimizer_state_dict(module, optimizer, state, options=_gather().StateDictOptions(full_state_dict=True))

    def whole(self, module: nn.Module) -> nn.Module:
        """Return the trained module with all its weights: itself, or on the first process a copy filled from the shards."""
        if self._twin is None:
            return module
        weights = self.weights(module)
        if self.is_first:
            for name, _ in list(self._twin.named_parameters()):
                owner, _, own = name.rpartition(".")
                setattr(self._twin.get_submodule(owner), own, nn.Parameter(weights[name]))
            for part in self._twin.modules():
                if isinstance(part, PreTrainedModel):
                    part.tie_weights()  # an embedding and an output that share weights were filled separately
        return self._twin

    def _shard(self, module: nn.Module) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(self.device.type, (self.count,))
        blocks = {name for part in module.modules() for name in getattr(part, "_no_split_modules", None) or ()}
        for part in [*(block for block in module.modules() if type(block).__name__ in blocks), module]:
            self._shards.append(fully_shard(part, mesh=mesh))


def _gather() -> Any:
    from torch.distributed.checkpoint import state_dict  # takes three seconds to import: only for sharded weights

    return state_dict
