"""Three short documents of mixed quality and two fields to read from them: who plans must see from the documents' names
which one is to be trusted for which field, who executes reads one field from one document.

A topic is written by hand (its two fields, and what documents about them are called), its contents are drawn with a
fixed seed. Where a topic has two tasks, they are of different situations: which documents lie there.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np

from evals.make.common import NAMES, pick
from evals.make.extraction import CITIES, DAYS, FIRMS, ITEMS, JOBS

SEED = 20261130
SAMPLES = 100


class Field(NamedTuple):
    """What is asked for, what a document about it alone is called, and how its values are drawn."""

    name: str
    stem: str
    kind: str


# (what a document about both fields is called, the fields, what a document about neither is called)
TOPICS: list[tuple[str, Field, Field, str]] = [
    ("rental", Field("tenant", "tenants", "name"), Field("rent", "rents", "amount"), "parking"),
    ("wedding", Field("cook", "kitchen", "name"), Field("guest count", "guests", "small"), "flowers"),
    ("boat_trip", Field("captain", "crew", "name"), Field("departure day", "departures", "day"), "lunch"),
    ("roof", Field("roofer", "roofers", "firm"), Field("price", "prices", "amount"), "photos"),
    ("office_move", Field("new city", "cities", "city"), Field("moving day", "calendar", "day"), "boxes"),
    ("parcel", Field("sender", "senders", "firm"), Field("tracking code", "codes", "code"), "stamps"),
    ("night_shift", Field("nurse", "nurses", "name"), Field("ward number", "wards", "small"), "meals"),
    ("school_play", Field("director", "directors", "name"), Field("ticket price", "tickets", "amount"), "costumes"),
    ("bus_tour", Field("driver", "drivers", "name"), Field("first stop", "stops", "city"), "snacks"),
    ("water", Field("meter reader", "readers", "name"), Field("reading", "readings", "big"), "pipes"),
    ("flat", Field("landlord", "landlords", "name"), Field("deposit", "deposits", "amount"), "keys"),
    ("chess_club", Field("winner", "winners", "name"), Field("number of players", "players", "small"), "boards"),
    ("bike_sale", Field("buyer", "buyers", "name"), Field("agreed price", "prices", "amount"), "tyres"),
    ("data_centre", Field("server name", "servers", "word"), Field("port", "ports", "big"), "cooling"),
    ("talks", Field("speaker", "speakers", "name"), Field("room number", "rooms", "small"), "posters"),
    ("book", Field("printer", "printers", "firm"), Field("page count", "pages", "big"), "covers"),
    ("kitchen", Field("supplier", "suppliers", "firm"), Field("delivery day", "deliveries", "day"), "recipes"),
    ("job_offer", Field("position", "positions", "job"), Field("place of work", "places", "city"), "holidays"),
    ("lost_property", Field("finder", "finders", "name"), Field("found item", "items", "item"), "rewards"),
    ("team_lunch", Field("organiser", "organisers", "name"), Field("lunch day", "days", "day"), "menus"),
    ("auction", Field("seller", "sellers", "firm"), Field("start bid", "bids", "amount"), "chairs"),
    ("train", Field("passenger", "passengers", "name"), Field("seat", "seats", "seat"), "luggage"),
    ("repair", Field("customer", "customers", "name"), Field("call-back number", "phones", "phone"), "tools"),
    ("film", Field("location", "locations", "city"), Field("shooting day", "schedule", "day"), "catering"),
    ("course", Field("tutor", "tutors", "name"), Field("fee", "fees", "amount"), "homework"),
    ("stock", Field("counted item", "items", "item"), Field("count", "counts", "small"), "shelves"),
    ("choir", Field("soloist", "singers", "name"), Field("venue city", "venues", "city"), "robes"),
    ("car_hire", Field("hirer", "hirers", "name"), Field("daily rate", "rates", "amount"), "fuel"),
    ("lab", Field("key holder", "key_holders", "name"), Field("door code", "doors", "big"), "samples"),
    ("museum", Field("lender", "lenders", "firm"), Field("insured value", "insurance", "amount"), "frames"),
    ("swimming", Field("teacher", "teachers", "name"), Field("class day", "classes", "day"), "lockers"),
    ("warranty", Field("broken item", "broken_items", "item"), Field("refund", "refunds", "amount"), "adverts"),
    ("fair", Field("exhibitor", "exhibitors", "firm"), Field("booth", "booths", "seat"), "badges"),
    ("heating", Field("fitter", "fitters", "name"), Field("visit day", "visits", "day"), "radiators"),
    ("fruit", Field("importer", "importers", "firm"), Field("crate count", "crates", "small"), "weather"),
    ("camp", Field("camp leader", "leaders", "name"), Field("meeting point", "meeting_points", "city"), "songs"),
    ("wifi", Field("user name", "users", "word"), Field("support number", "support", "phone"), "cables"),
    ("tool_loan", Field("borrower", "borrowers", "name"), Field("lent item", "loans", "item"), "opening_hours"),
    ("house", Field("agent", "agents", "firm"), Field("viewing day", "viewings", "day"), "garden"),
    ("marathon", Field("first runner", "results", "name"), Field("start number", "numbers", "big"), "drinks"),
    ("theatre", Field("subscriber", "subscribers", "name"), Field("box seat", "boxes", "seat"), "programme"),
    ("sick_leave", Field("absent person", "absences", "name"), Field("stand-in", "stand_ins", "name2"), "payroll"),
    ("cleaning", Field("cleaner", "cleaners", "firm"), Field("monthly fee", "fees", "amount"), "soap"),
    ("flight", Field("flight code", "flights", "code"), Field("gate", "gates", "seat"), "shops"),
    ("wine", Field("host", "hosts", "name"), Field("bottle count", "bottles", "small"), "cheese"),
    ("market", Field("baker", "bakers", "name"), Field("stand number", "stands", "small"), "music"),
    ("dentist", Field("patient", "patients", "name"), Field("appointment day", "appointments", "day"), "magazines"),
    ("raffle", Field("prize", "prizes", "item"), Field("winning ticket", "tickets", "big"), "decoration"),
    ("harbour", Field("ship owner", "owners", "firm"), Field("port fee", "fees", "amount"), "tides"),
    ("radio", Field("presenter", "presenters", "name"), Field("studio phone", "phones", "phone"), "records"),
    ("survey", Field("surveyor", "surveyors", "name"), Field("town", "towns", "city"), "boots"),
    ("piano", Field("carrier", "carriers", "firm"), Field("transport price", "prices", "amount"), "concerts"),
    ("library", Field("reader", "readers", "name"), Field("shelf mark", "shelf_marks", "code"), "chairs"),
    ("taxi", Field("caller", "callers", "name"), Field("pick-up town", "towns", "city"), "tolls"),
    ("hotel", Field("guest", "guests", "name"), Field("room rate", "rates", "amount"), "breakfast"),
    ("clinic", Field("doctor", "doctors", "name"), Field("cabin number", "cabins", "small"), "forms"),
    ("print_shop", Field("client", "clients", "firm"), Field("copies", "copies", "big"), "paper"),
    ("orchard", Field("picker", "pickers", "name"), Field("picking day", "days", "day"), "ladders"),
    ("garage", Field("mechanic", "mechanics", "name"), Field("bill total", "bills", "amount"), "coffee"),
    ("zoo", Field("keeper", "keepers", "name"), Field("visitor count", "visitors", "big"), "animals"),
]  # fmt: skip

# How the name of the document ends that holds, and how that of the one that does not.
MARKS = [
    ("signed", "draft"), ("final", "ideas"), ("2026", "2019"), ("confirmed", "cancelled"), ("today", "last_year"),
    ("corrected", "with_errors"), ("valid", "void"),
]  # fmt: skip
ALONE = (
    "The {A} is {a}, not {x} as once said. Questions to the office, please. Printed on both sides.",
    "{A}: {a} (before: {x})\nnotes: none\nchecked by two people, kept in the blue folder",
    "We asked for {x}, then talked for an hour and settled. So the {A}: {a}. Thanks to all who came.",
    "*** {A} = {a} *** was {x} !!! please tell the others, and put this on the board ***",
)
BOTH = (
    "The {A} is {a}. The {B} is {b}. Copies to the office, please, and one for the blue folder.",
    "{B}: {b}\n{A}: {a}\nnotes: none\nchecked by two people",
    "So the {A} will be {a}; with that the {B} is {b}. Thanks to all who came.",
    "*** {A} = {a} *** {B} = {b} *** please tell the others ***",
)
NEITHER = "Still to be written. Ask Uma, who has the old one at home; the list has {n} lines."


class Document(NamedTuple):
    """Its name, its text, and by field the value that stands in it (None: it does not say)."""

    name: str
    text: str
    holds: dict[str, str | None]


def rows() -> list[dict[str, Any]]:
    """`SAMPLES` tasks as dataset rows, one or two a topic; the group is the topic, the target a JSON object of strings."""
    rng = np.random.default_rng(SEED)
    out: list[dict[str, Any]] = []
    for k in range(2):
        for t, topic in enumerate(TOPICS):
            if len(out) < SAMPLES:
                # Each pair of situations meets in a topic equally often.
                situation = list(SITUATIONS)[(t + k * (1 + t // 3 % 2)) % 3]
                out.append(_row(rng, f"workflow-{t:02d}", k + 1, topic, situation))
    return sorted(out, key=lambda row: str(row["id"]))


def prompt(names: list[str], fields: list[str]) -> str:
    """What the planner is asked, and so what a router sees."""
    first, second = fields
    return f'Files: {", ".join(names)}\nReturn JSON: for each of "{first}" and "{second}" the file to read for it.'


def _row(
    rng: np.random.Generator, group: str, k: int, topic: tuple[str, Field, Field, str], situation: str
) -> dict[str, Any]:
    whole, first, second, other = topic
    drawn = {field.name: _draw(rng, field.kind) for field in (first, second)}
    difficulty, lay_out = SITUATIONS[situation]
    documents = lay_out(rng, whole, [first, second], other, drawn)
    documents = [documents[int(i)] for i in rng.permutation(len(documents))]
    fields = [first.name, second.name]
    return {
        "id": f"{group}-{k}",
        "input": prompt([document.name for document in documents], fields),
        "target": json.dumps({name: drawn[name]["right"] for name in fields}),
        "group": group,
        "difficulty": difficulty,
        "situation": situation,
        "documents": [document._asdict() for document in documents],
        "fields": fields,
    }


Drawn = dict[str, dict[str, str]]


def _apart(
    rng: np.random.Generator, whole: str, fields: list[Field], other: str, drawn: Drawn
) -> list[Document]:
    """A document for each field, and one about something else."""
    neither = Document(
        f"{other}.txt", NEITHER.format(n=int(rng.integers(3, 60))), dict.fromkeys(f.name for f in fields)
    )
    return [*(_alone(rng, f"{f.stem}.txt", f, fields, drawn, "right") for f in fields), neither]


def _stale(
    rng: np.random.Generator, whole: str, fields: list[Field], other: str, drawn: Drawn
) -> list[Document]:
    """A document for each field, and one of them a second time, which does not hold."""
    good, bad = pick(rng, MARKS)
    twice, once = (fields[int(i)] for i in rng.permutation(2))
    return [
        _alone(rng, f"{twice.stem}_{good}.txt", twice, fields, drawn, "right"),
        _alone(rng, f"{twice.stem}_{bad}.txt", twice, fields, drawn, "wrong"),
        _alone(rng, f"{once.stem}.txt", once, fields, drawn, "right"),
    ]


def _together(
    rng: np.random.Generator, whole: str, fields: list[Field], other: str, drawn: Drawn
) -> list[Document]:
    """A document about both fields, the same once more as it does not hold, and one about something else."""
    good, bad = pick(rng, MARKS)
    neither = _apart(rng, whole, fields, other, drawn)[-1]
    return [_both(rng, f"{whole}_{good}.txt", fields, drawn, "right"),
            _both(rng, f"{whole}_{bad}.txt", fields, drawn, "wrong"), neither]  # fmt: skip


SITUATIONS = {"apart": (1, _apart), "stale": (2, _stale), "together": (3, _together)}
"""Situation → its difficulty, and what lays out its documents."""


def _alone(
    rng: np.random.Generator, name: str, field: Field, fields: list[Field], drawn: Drawn, which: str
) -> Document:
    value = drawn[field.name][which]
    text = pick(rng, ALONE).format(A=field.name, a=value, x=drawn[field.name]["other"])
    return Document(name, text, {f.name: value if f is field else None for f in fields})


def _both(rng: np.random.Generator, name: str, fields: list[Field], drawn: Drawn, which: str) -> Document:
    first, second = fields
    held: dict[str, str | None] = {field.name: drawn[field.name][which] for field in fields}
    text = pick(rng, BOTH).format(A=first.name, a=held[first.name], B=second.name, b=held[second.name])
    return Document(name, text, held)


def _draw(rng: np.random.Generator, kind: str) -> dict[str, str]:
    """A right, a wrong and another value of a kind, all different."""
    makers = {
        "name": lambda: pick(rng, NAMES[:12]),
        "name2": lambda: pick(rng, NAMES[12:]),
        "city": lambda: pick(rng, CITIES),
        "item": lambda: pick(rng, ITEMS),
        "firm": lambda: pick(rng, FIRMS),
        "job": lambda: pick(rng, JOBS),
        "day": lambda: pick(rng, DAYS),
        "word": lambda: pick(
            rng, ("falcon", "maple", "orbit", "pepper", "quartz", "ribbon", "saffron", "tundra")
        ),
        "amount": lambda: f"${int(rng.integers(11, 990))}",
        "small": lambda: str(int(rng.integers(4, 60))),
        "big": lambda: str(int(rng.integers(1000, 9999))),
        "code": lambda: f"{pick(rng, 'AKRT')}{int(rng.integers(100, 999))}",
        "seat": lambda: f"{int(rng.integers(1, 30))}{pick(rng, 'ABCD')}",
        "phone": lambda: f"555-{int(rng.integers(1000, 9999))}",
    }
    found: dict[str, None] = {}
    while len(found) < 3:
        found[makers[kind]()] = None
    return dict(zip(("right", "wrong", "other"), found, strict=True))
