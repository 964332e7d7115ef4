"""A key-value cache in which the beams of a prompt lie side by side, so that it is never copied beam by beam.

A usual beam search holds the prompt once for every beam and reorders all of it at each step. Here a prompt is held
once, a step appends one slot for each beam, and the attention mask says which slots are a beam's ancestors. Choosing
other parents then changes a mask of booleans and no key or value.
"""

from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

ROOM_SLOTS = 64


class RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]  # transformers' layers have no types
    """One layer's keys and values [batch, heads, slots, width] in buffers with room for more slots."""

    def __init__(self, **kwargs: Any) -> None:  # Any: handed through to transformers
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]  # as above
        self._key_room: torch.Tensor | None = None
        self._value_room: torch.Tensor | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append; return all keys and values so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        used = self.get_seq_length()
        total = used + key_states.shape[-2]
        self._key_room, self.keys = _append(self._key_room, key_states, used, total)
        self._value_room, self.values = _append(self._value_room, value_states, used, total)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these prompts only."""
        assert self._key_room is not None
        assert self._value_room is not None
        used = self.get_seq_length()
        self._key_room = self._key_room[indices]
        self._value_room = self._value_room[indices]
        self.keys, self.values = self._key_room[:, :, :used], self._value_room[:, :, :used]


def new_tree_cache() -> Cache:
    """An empty cache for any model whose layers attend to all slots that the mask shows."""
    return Cache(layer_class_to_replicate=RoomyLayer)


def _append(
    room: torch.Tensor | None, states: torch.Tensor, used: int, total: int
) -> tuple[torch.Tensor, torch.Tensor]:
    if room is None or room.shape[2] < total:
        batch, heads, _, width = states.shape
        larger = states.new_zeros((batch, heads, total + ROOM_SLOTS, width))
        if room is not None:
            larger[:, :, :used] = room[:, :, :used]
        room = larger
    room[:, :, used:total] = states
    return room, room[:, :, :total]
