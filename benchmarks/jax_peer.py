"""The peer of the replica benchmark: the whole training as one jitted scan, vmapped over seeds.

This is what a JAX expert would write who wants only the trained networks: integers are looked up
instead of multiplied as one-hot vectors, timesteps are unrolled, the initial weights and Adam are
those of Keras, and nothing is validated. It returns the losses and accuracies of all epochs at the
end.

    python -m benchmarks.jax_peer seq2seq --replicas 64
"""

import argparse
import json
import os
import time
from functools import partial
from typing import Any

os.environ["XLA_FLAGS"] = (
    "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1 "
    + os.environ.get("XLA_FLAGS", "")
)
if hasattr(os, "sched_setaffinity"):  # one core, like the loop of `echo-exp`
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import jax
import jax.numpy as jnp
from jax import lax, nn

V, LENGTH, N_IN = 100, 25, 5
BATCH = {"seq2seq": 7, "encoder_decoder": 21}
N_OUT = {"seq2seq": 5, "encoder_decoder": 2}
EPOCHS = {"seq2seq": 500, "encoder_decoder": 5000}
Tree = Any


def initial_lstm(key: Any, n_in: int, units: int) -> Tree:
    kernel, recurrent = jax.random.split(key)
    bias = jnp.zeros(4 * units).at[units : 2 * units].set(1.0)
    return {
        "kernel": nn.initializers.glorot_uniform()(kernel, (n_in, 4 * units)),
        "recurrent": nn.initializers.orthogonal()(recurrent, (units, 4 * units)),
        "bias": bias,
    }


def initial(net: str, key: Any) -> Tree:
    keys = jax.random.split(key, 3)
    units = 20 if net == "seq2seq" else 150
    dense = nn.initializers.glorot_uniform()(keys[2], (units, V))
    params = {"lstm": initial_lstm(keys[0], V, units), "dense": dense, "bias": jnp.zeros(V)}
    if net == "encoder_decoder":
        params["decoder"] = initial_lstm(keys[1], units, units)
    return params


def recur(params: Tree, projected: list[Any], state: Tree) -> tuple[list[Any], Tree]:
    hidden, cell = state
    outputs = []
    for x in projected:  # [B, 4U] at each timestep
        gates = x + hidden @ params["recurrent"] + params["bias"]
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        cell = nn.sigmoid(f) * cell + nn.sigmoid(i) * jnp.tanh(g)
        hidden = nn.sigmoid(o) * jnp.tanh(cell)
        outputs.append(hidden)
    return outputs, (hidden, cell)


def apply(net: str, params: Tree, windows: Any, state: Tree) -> tuple[Any, Tree]:
    rows = params["lstm"]["kernel"][windows]  # [B, T, 4U]
    hidden, after = recur(params["lstm"], [rows[:, t] for t in range(N_IN)], state[0])
    states = [after]
    if net == "encoder_decoder":
        context = hidden[-1] @ params["decoder"]["kernel"]
        hidden, decoded = recur(params["decoder"], [context] * N_OUT[net], state[1])
        states.append(decoded)
    return jnp.stack(hidden, 1) @ params["dense"] + params["bias"], states  # [B, n_out, V]


def adam(params: Tree, gradients: Tree, moments: Tree, count: Any) -> tuple[Tree, Tree]:
    mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, moments[0], gradients)
    square = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, moments[1], gradients)
    rate = 1e-3 * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
    step = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-7), params, mean, square)
    return step, (mean, square)


def train(net: str, epochs: int, key: Any) -> tuple[Tree, Any]:
    """Trains one seed; returns its weights, and the loss and accuracy of each epoch."""
    begin, data = jax.random.split(key)
    params = initial(net, begin)
    zeros = jax.tree.map(jnp.zeros_like, params)
    units = params["dense"].shape[0]
    zero = jnp.zeros((BATCH[net], units))
    start = [(zero, zero)] * (2 if net == "encoder_decoder" else 1)
    frame = jnp.arange(LENGTH - N_IN + 1)[:, None] + jnp.arange(N_IN)

    def loss_of(params: Tree, windows: Any, state: Tree) -> tuple[Any, Any]:
        logits, state = apply(net, params, windows, state)
        targets = windows[:, : N_OUT[net]]
        right = jnp.take_along_axis(nn.log_softmax(logits), targets[..., None], -1)
        return -right.mean(), (state, (logits.argmax(-1) == targets).mean())

    def update(carry: Tree, windows: Any) -> tuple[Tree, Any]:
        params, moments, count, state = carry
        measured, gradients = jax.value_and_grad(loss_of, has_aux=True)(params, windows, state)
        loss, (state, accuracy) = measured
        params, moments = adam(params, gradients, moments, count + 1)
        return (params, moments, count + 1, state), (loss, accuracy)

    def epoch(carry: Tree, key: Any) -> tuple[Tree, Any]:
        windows = jax.random.randint(key, (LENGTH,), 0, V)[frame]
        batches = windows.reshape(-1, BATCH[net], N_IN)
        carry, measured = lax.scan(update, (*carry, start), batches, unroll=True)
        return carry[:3], jax.tree.map(jnp.mean, measured)

    carry = (params, (zeros, zeros), jnp.zeros(()))
    carry, measured = lax.scan(epoch, carry, jax.random.split(data, epochs))
    return carry[0], measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("net", choices=BATCH)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    epochs = arguments.epochs or EPOCHS[arguments.net]
    keys = jax.random.split(jax.random.key(arguments.seed), arguments.replicas)
    began = time.perf_counter()
    run = jax.jit(jax.vmap(partial(train, arguments.net, epochs))).lower(keys).compile()
    compiled = time.perf_counter()
    _, (losses, _) = jax.block_until_ready(run(keys))
    result = {
        "fit_seconds": time.perf_counter() - compiled,
        "compile_seconds": compiled - began,
        "epochs": epochs,
        "final_loss": float(losses[:, -1].mean()),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
