"""The lines that turn one rendered configuration into another, and nothing else. Pure.

Both sides are texts of `render`, so the model can be small: statements, inside at most two nested contexts. Additions come before
removals, and prefix-lists before what uses them, so that no moment announces less than both configurations do. A pool's change
touches prefix-list lines only: no session flaps (`frr-reload.py` needs a minute for 1,000 removals; one vtysh
call needs half a second).
"""

from __future__ import annotations

import re

Context = tuple[str, ...]
Model = dict[Context, tuple[str, ...]]
OPENING = ("router bgp ", "route-map ", "address-family ")
LISTS = ("ip prefix-list NETMGR-", "ipv6 prefix-list NETMGR-")
SEQUENCE = re.compile(r"^(\S+ prefix-list \S+) seq \d+ ")
CLOSING = frozenset({"exit", "exit-address-family"})


def parse(text: str) -> Model:
    """Statements by context, in order."""
    model: dict[Context, list[str]] = {(): []}
    context: Context = ()
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line == "!":
            continue
        if line in CLOSING:
            context = context[:-1]
        elif line.startswith(OPENING):
            context = (*context, line)
            model.setdefault(context, [])
        else:
            model[context].append(line)
    return {key: tuple(lines) for key, lines in model.items()}


def delta(running: str, desired: str) -> list[str]:
    """Vtysh lines from `running` to `desired`; empty when they are equal."""
    before, after = parse(running), parse(desired)
    lines: list[str] = []
    for context, statements in after.items():
        added = [one for one in statements if one not in before.get(context, ())]
        if added or context not in before:
            lines += inside(context, added)
    gone = [context for context in before if context not in after]
    for context, statements in before.items():
        if context in after:
            removed = [negated(one) for one in reversed(statements) if one not in after[context]]
            lines += inside(context, removed) if removed else []
    for context in gone:
        if not any(context[:depth] in gone for depth in range(1, len(context))):
            lines += inside(context[:-1], [negated(context[-1])])
    return lines


def with_lists_of(known: str, running: str) -> str:
    """What we entered last, but with the prefix-lists that bgpd really has (`show running-config`).

    A call that ended half-way leaves lists that are neither the old nor the new ones; a delta from what is really there ends at
    what is wanted. Sequence numbers do not matter: all entries of a list permit, or there is one that denies.
    """
    lists = [SEQUENCE.sub(r"\1 ", line.strip()) for line in running.splitlines() if line.startswith(LISTS)]
    return "\n".join([*lists, *(line for line in known.splitlines() if not line.startswith(LISTS))]) + "\n"


def negated(line: str) -> str:
    """The statement that takes a line back."""
    return line.removeprefix("no ") if line.startswith("no ") else f"no {line}"


def inside(context: Context, statements: list[str]) -> list[str]:
    """Statements within their context."""
    return [*context, *statements, *(["exit"] * len(context))]
