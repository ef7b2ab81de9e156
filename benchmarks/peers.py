"""Each network as somebody would write it with torch's own layers: the peers of the benchmarks.

Each public function here makes the peer of the network (`model=`) that it is named after, with the
same sizes, for windows of n_in timesteps; `network__way` is another way to write the same network.
The networks take one-hot windows [B, T, V] and a state, and return outputs [B, n_out, V] and the
state after the batch.
"""

import inspect
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

V = 100
State = tuple[Tensor, ...]


@dataclass(frozen=True)
class Peer:
    """A network, and how its counterpart in echo_exp is trained by default."""

    net: nn.Module
    n_out: int
    batch: int = 7
    epochs: int = 500


def seq2seq(n_in: int) -> Peer:
    return Peer(LSTM(20), n_in)


def gru(n_in: int) -> Peer:
    return Peer(GRU(20), n_in)


def min_gru(n_in: int) -> Peer:
    return Peer(_MinGRU(20, _loop), n_in)


def min_gru__scan(n_in: int) -> Peer:
    return Peer(_MinGRU(20, _scan), n_in)


def transformer(n_in: int) -> Peer:
    return Peer(Transformer(n_in, units=32, layers=2, heads=2), n_in)


def encoder_decoder(n_in: int) -> Peer:
    n_out = max(1, 2 * n_in // 5)
    return Peer(EncoderDecoder(150, n_out), n_out, batch=21, epochs=5000)


def attention(n_in: int) -> Peer:
    return Peer(Attention(150, n_in), n_in)


def many_to_one(n_in: int) -> Peer:
    return Peer(_Vector(V, 150, n_in), n_in)


def one_to_one(n_in: int) -> Peer:
    return Peer(_Vector(n_in * V, 150, n_in), n_in)


def ssm(n_in: int) -> Peer:
    return Peer(Blocks(20, lambda: LinearRecurrence(20, 32)), n_in)


def selective_ssm(n_in: int) -> Peer:
    return Peer(Blocks(20, lambda: _SelectiveRecurrence(20, 8)), n_in)


class LSTM(nn.Module):
    def __init__(self, units: int, v: int = V) -> None:
        super().__init__()
        self.lstm = nn.LSTM(v, units, batch_first=True)
        self.dense = nn.Linear(units, v)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        hidden, after = self.lstm(x, state or None)
        return self.dense(hidden), after


class GRU(nn.Module):
    def __init__(self, units: int, v: int = V) -> None:
        super().__init__()
        self.gru = nn.GRU(v, units, batch_first=True)
        self.dense = nn.Linear(units, v)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        hidden, after = self.gru(x, *state)
        return self.dense(hidden), (after,)


class _MinGRU(nn.Module):
    def __init__(self, units: int, run: Callable[[Tensor, Tensor, State], Tensor]) -> None:
        super().__init__()
        self.gates = nn.Linear(V, 2 * units)
        self.dense = nn.Linear(units, V)
        self.run = run

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        gate, candidate = self.gates(x).chunk(2, -1)
        hidden = self.run(gate, candidate, state)
        return self.dense(hidden), (hidden[:, -1],)


def _loop(gate: Tensor, candidate: Tensor, state: State) -> Tensor:
    """Runs the recurrence timestep by timestep, gates and candidates [B, T, U] -> [B, T, U]."""
    hidden = state[0] if state else torch.zeros_like(candidate[:, 0])
    hiddens = []
    for z, new in zip(gate.sigmoid().unbind(1), candidate.unbind(1), strict=True):
        hidden = torch.lerp(hidden, new, z)
        hiddens.append(hidden)
    return torch.stack(hiddens, 1)


def _scan(gate: Tensor, candidate: Tensor, state: State) -> Tensor:
    """Runs the scan of logarithms of Feng et al. 2024, appendix B, with positive candidates."""
    log_new = torch.where(
        candidate >= 0, (candidate.relu() + 0.5).log(), -functional.softplus(-candidate)
    )
    first = state[0].log() if state else torch.full_like(log_new[:, 0], math.log(0.5))
    log_kept = functional.pad((-functional.softplus(gate)).cumsum(1), (0, 0, 1, 0))
    values = torch.cat([first.unsqueeze(1), log_new - functional.softplus(-gate)], 1)
    log_hidden = log_kept + torch.logcumsumexp(values - log_kept, 1)
    return log_hidden.exp()[:, 1:]


class Transformer(nn.Module):
    def __init__(self, n_in: int, units: int, layers: int, heads: int, v: int = V) -> None:
        super().__init__()
        self.read = nn.Linear(v, units, bias=False)
        self.places = nn.Parameter(0.02 * torch.randn(n_in, units))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                units, heads, 4 * units, dropout=0, batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(units)
        self.dense = nn.Linear(units, v)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(n_in))
        self.scale = math.sqrt(units)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        hidden = self.read(x) * self.scale + self.places
        for block in self.blocks:
            hidden = block(hidden, self.mask, is_causal=True)
        return self.dense(self.norm(hidden)), ()


class EncoderDecoder(nn.Module):
    def __init__(self, units: int, n_out: int, v: int = V) -> None:
        super().__init__()
        self.encoder = nn.LSTM(v, units, batch_first=True)
        self.decoder = nn.LSTM(units, units, batch_first=True)
        self.dense = nn.Linear(units, v)
        self.n_out = n_out

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        hidden, encoded = self.encoder(x, state[:2] or None)
        repeated = hidden[:, -1:].repeat(1, self.n_out, 1)
        hidden, decoded = self.decoder(repeated, state[2:] or None)
        return self.dense(hidden), (*encoded, *decoded)


class Attention(nn.Module):
    def __init__(self, units: int, n_out: int, v: int = V) -> None:
        super().__init__()
        self.encoder = nn.LSTM(v, units, batch_first=True)
        self.decoder = nn.LSTMCell(units, units)
        self.query = nn.Linear(units, units, bias=False)
        self.key = nn.Linear(units, units, bias=False)
        self.score = nn.Linear(units, 1, bias=False)
        self.dense = nn.Linear(units, v)
        self.n_out = n_out

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        read, encoded = self.encoder(x, state[:2] or None)
        keys = self.key(read)
        hidden, cell = state[2:] or (torch.zeros_like(read[:, 0]),) * 2
        hiddens = []
        for _ in range(self.n_out):
            scores = self.score(torch.tanh(keys + self.query(hidden).unsqueeze(1)))
            context = (scores.softmax(1) * read).sum(1)
            hidden, cell = self.decoder(context, (hidden, cell))
            hiddens.append(hidden)
        return self.dense(torch.stack(hiddens, 1)), (*encoded, hidden, cell)


class _Vector(nn.Module):
    """Reads timesteps of n_features, or the whole window as one; gives all outputs at once."""

    def __init__(self, n_features: int, units: int, n_out: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_features, units, batch_first=True)
        self.dense = nn.Linear(units, n_out * V)
        self.n_features, self.n_out = n_features, n_out

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        hidden, after = self.lstm(x.reshape(len(x), -1, self.n_features), state or None)
        return self.dense(hidden[:, -1]).unflatten(-1, (self.n_out, V)), after


class Blocks(nn.Module):
    """A residual block of a recurrence and a gated layer, in plain torch."""

    def __init__(self, units: int, recurrence: Callable[[], nn.Module], v: int = V) -> None:
        super().__init__()
        self.read = nn.Linear(v, units)
        self.before, self.after = nn.LayerNorm(units), nn.LayerNorm(units)
        self.recurrence = recurrence()
        self.gated = nn.Linear(units, 2 * units)
        self.dense = nn.Linear(units, v)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        x = self.read(x)
        y, last = self.recurrence(self.before(x), *state)
        x = x + functional.glu(self.gated(functional.gelu(y)), -1)
        return self.dense(self.after(x)), (last,)


class LinearRecurrence(nn.Module):
    """The linear recurrent unit of Orvieto et al. 2023, complex and timestep by timestep."""

    def __init__(self, units: int, states: int) -> None:
        super().__init__()
        self.decay = nn.Parameter(torch.randn(states))
        self.phase = nn.Parameter(torch.rand(states))
        self.gain = nn.Parameter(torch.zeros(states))
        self.write = nn.Parameter(torch.randn(units, states, 2) / 6)
        self.read = nn.Parameter(torch.randn(states, units, 2) / 6)
        self.skip = nn.Parameter(torch.randn(units))

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        kept = torch.polar((-self.decay.exp()).exp(), self.phase)
        driven = x.to(torch.complex64) @ torch.view_as_complex(self.write) * self.gain.exp()
        s = torch.zeros_like(driven[:, 0]) if state is None else state
        states = []
        for new in driven.unbind(1):
            s = kept * s + new
            states.append(s)
        read = torch.stack(states, 1) @ torch.view_as_complex(self.read)
        return read.real + self.skip * x, s


class _SelectiveRecurrence(nn.Module):
    """The recurrence of Gu & Dao 2023, timestep by timestep."""

    def __init__(self, units: int, states: int) -> None:
        super().__init__()
        self.write = nn.Linear(units, states, bias=False)
        self.read = nn.Linear(units, states, bias=False)
        self.step = nn.Sequential(nn.Linear(units, 2, bias=False), nn.Linear(2, units))
        self.rate = nn.Parameter(torch.arange(1, states + 1).log().repeat(units, 1))
        self.skip = nn.Parameter(torch.ones(units))

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        step = functional.softplus(self.step(x))
        kept = (-step.unsqueeze(-1) * self.rate.exp()).exp()
        new = (step * x).unsqueeze(-1) * self.write(x).unsqueeze(-2)
        s = torch.zeros_like(new[:, 0]) if state is None else state
        states = []
        for k, n in zip(kept.unbind(1), new.unbind(1), strict=True):
            s = torch.addcmul(n, k, s)
            states.append(s)
        read = (torch.stack(states, 1) @ self.read(x).unsqueeze(-1)).squeeze(-1)
        return read + self.skip * x, s


PEERS: dict[str, Callable[[int], Peer]] = {
    name: make
    for name, make in inspect.getmembers(sys.modules[__name__], inspect.isfunction)
    if make.__module__ == __name__ and not name.startswith("_")
}
WAYS = {
    net: [name for name in PEERS if name.partition("__")[0] == net]
    for net in sorted({name.partition("__")[0] for name in PEERS})
}
"""The names of the ways to write each network."""
