"""Messy documents and the fields to read from them: hand-written layouts, contents drawn with a fixed seed.

Difficulty 1 asks for two fields that stand behind their names, 2 for three among distractors, 3 for values that must be
chosen (the new date, not the old; the total, not the subtotal) or that stand in running text.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from evals.make.common import NAMES, pick, spread

SEED = 20261124
FEW_SHOT = [
    (
        "Order slip\nitem: mug\nqty: 3\nthank you!!\n\nReturn JSON with the keys item, quantity.",
        '{"item": "mug", "quantity": "3"}',
    ),
]
SURNAMES = ("Adler", "Brandt", "Costa", "Diaz", "Evans", "Fischer", "Garcia", "Haas", "Ito", "Jensen", "Kovac", "Lang",
            "Moreau", "Novak", "Okafor", "Perez", "Rossi", "Silva", "Tanaka", "Weber")  # fmt: skip
CITIES = (
    "Lisbon",
    "Oslo",
    "Vienna",
    "Dublin",
    "Prague",
    "Turin",
    "Lyon",
    "Gdansk",
    "Porto",
    "Malmo",
    "Basel",
    "Leeds",
)
ITEMS = (
    "lamp",
    "kettle",
    "drill",
    "ladder",
    "printer",
    "monitor",
    "bicycle",
    "tent",
    "blender",
    "camera",
    "jacket",
    "sofa",
)
FIRMS = (
    "Nordwind",
    "Bluestone",
    "Kiwi Press",
    "Alder & Sons",
    "Polar Foods",
    "Tessera",
    "Oakline",
    "Delta Glass",
    "Mirabel",
)
JOBS = ("nurse", "welder", "driver", "teacher", "cook", "plumber", "baker", "clerk")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")

# (difficulty, document, {key: slot}); a slot's name says how it is drawn, `x1` and `x2` are two draws of the same kind.
DOCUMENTS: list[tuple[int, str, dict[str, str]]] = [
    (1, "Name: {name}\nCity: {city}\nFax: --", {"name": "name", "city": "city"}),
    (1, "INVOICE\nfrom: {firm}\ntotal: {amount}\n*** thank you ***", {"firm": "firm", "total": "amount"}),
    (1, "item...... {item}\nprice..... {amount}", {"item": "item", "price": "amount"}),
    (1, "Patient: {name}\nAge: {age}\nWard: B", {"patient": "name", "age": "age"}),
    (1, "# visitor card\nguest = {name}\nroom = {small}", {"guest": "name", "room": "small"}),
    (1, "Job: {job}\nPlace: {city}\nApply by mail", {"job": "job", "place": "city"}),
    (1, "ticket no {code}\nseat {seat}\nno refund", {"ticket": "code", "seat": "seat"}),
    (1, "Sender: {firm}\nParcel: {code}\nhandle with care!!", {"sender": "firm", "parcel": "code"}),
    (1, "class: {day}\nteacher: {name}\nbring a towel", {"day": "day", "teacher": "name"}),
    (1, "Title: {item} manual\nPages: {big}\nPrinted in {city}", {"pages": "big", "city": "city"}),
    (1, "EMAIL {mail}\nPHONE {phone}", {"email": "mail", "phone": "phone"}),
    (1, "Loan to {name}\nAmount {amount}\nsigned", {"name": "name", "amount": "amount"}),
    (1, "date: {date}\nstaff: {name}\nnotes: none", {"date": "date", "staff": "name"}),
    (1, "Flight {code}, gate {seat}, boarding now", {"flight": "code", "gate": "seat"}),
    (1, "stock|{item}|{small}|ok", {"item": "item", "count": "small"}),
    (1, "<b>Winner:</b> {name}<br><b>Prize:</b> {item}", {"winner": "name", "prize": "item"}),
    (1, "server: {word}\nport: {big}\nstatus: up", {"server": "word", "port": "big"}),
    (1, "Dear {name}, your table is booked for {day}.", {"name": "name", "day": "day"}),
    (1, "Bike for sale, {amount}, call {phone}", {"price": "amount", "phone": "phone"}),
    (1, "Exam: {day}, room {small}. No phones!", {"day": "day", "room": "small"}),
    (2, "{firm} / {city}\nInv. {code}\nNet {amount}\nTax {amount2}\nTo pay {amount3}", {"firm": "firm", "invoice": "code", "net": "amount"}),
    (2, "FROM {name}\nTO {name2}\nCC {name3}\nRE: the {item}", {"from": "name", "to": "name2", "subject": "item"}),
    (2, "~~ order {code} ~~\n{small} x {item} @ {amount}\nship: {city}", {"order": "code", "item": "item", "city": "city"}),
    (2, "Hello, I am {name}, {age}, a {job} from {city}. I like tea.", {"name": "name", "age": "age", "city": "city"}),
    (2, "{day} shift: {name}; {day2} shift: {name2}; van keys with {name3}", {"first_day": "day", "first_person": "name", "keys": "name3"}),
    (2, "LOG {date} user={word} action=delete code={small} ms={big}", {"user": "word", "action": "=delete", "code": "small"}),
    (2, "name;job;city\n{name};{job};{city}", {"name": "name", "job": "job", "city": "city"}),
    (2, "Rent for flat in {city}: {amount} a month, {small} m2, call {name}", {"city": "city", "rent": "amount", "contact": "name"}),
    (2, "Pls call back!! {name} rang at noon abt the {item}, nr {phone}", {"caller": "name", "item": "item", "phone": "phone"}),
    (2, "RECEIPT\n1 {item} {amount}\n1 {item2} {amount2}\ncash", {"first_item": "item", "second_item": "item2", "second_price": "amount2"}),
    (2, "Lot {code}: old {item}, {city}, start bid {amount}, seller {firm}", {"lot": "code", "seller": "firm", "bid": "amount"}),
    (2, "Course: welding | Fee: {amount} | Start: {date} | Tutor: {name}", {"fee": "amount", "start": "date", "tutor": "name"}),
    (2, "MISSING: {item} left in bus {small} on {day}. Reward {amount}.", {"item": "item", "bus": "small", "reward": "amount"}),
    (2, "Team {word}: {name} (lead), {name2} (test), {name3} (docs)", {"team": "word", "lead": "name", "docs": "name3"}),
    (2, "{name} <{mail}>\n{job} at {firm}\n{phone}", {"email": "mail", "job": "job", "firm": "firm"}),
    (2, "delivery note -- {small} boxes -- {item}s -- for {firm}, {city} -- driver {name}", {"boxes": "small", "firm": "firm", "driver": "name"}),
    (2, "Meter 1: {big}\nMeter 2: {big2}\nRead by {name} on {date}", {"meter_2": "big2", "reader": "name", "date": "date"}),
    (2, "[{day}] {name}: {item} arrived broken, want {amount} back", {"day": "day", "customer": "name", "refund": "amount"}),
    (2, "Guest {name}\nIn {date}\nOut {date2}\nRoom {small}", {"guest": "name", "out": "date2", "room": "small"}),
    (2, "WANTED: {job} ({city}). {firm} pays {amount} an hour.", {"job": "job", "firm": "firm", "pay": "amount"}),
    (2, "{item} ... {amount}\n{item2} ... {amount2}\nTOTAL ... {amount3}\nserved by {name}", {"item": "item", "total": "amount3", "served_by": "name"}),
    (2, "user {word} / plan gold / since {date} / pays {amount} / city {city}", {"user": "word", "plan": "=gold", "since": "date"}),
    (3, "Meeting was {day}, is now {day2}. {name} can't come, so {name2} leads it.", {"new_day": "day2", "leader": "name2"}),
    (3, "Subtotal {amount}\nDelivery {amount2}\n--\nTotal {amount3}\nPaid on {date}, due was {date2}", {"total": "amount3", "paid_on": "date"}),
    (3, "{name} sold the {item} to {name2} for {amount}, after asking {amount2}.", {"seller": "name", "buyer": "name2", "price": "amount"}),
    (3, "Not {city} but {city2} is where {firm} moved; the old phone {phone} stays.", {"firm": "firm", "new_city": "city2", "phone": "phone"}),
    (3, "Old: {mail}\nNEW (use this): {mail2}\nold tel {phone}\nnew tel {phone2}", {"email": "mail2", "phone": "phone2"}),
    (3, "We ordered {small} {item}s, got {small2}, and one was broken. Ref {code}.", {"ordered": "small", "received": "small2", "reference": "code"}),
    (3, "{name} hired {name2} as {job} in {city}; {name3} was turned down.", {"hired": "name2", "job": "job", "refused": "name3"}),
    (3, "{firm} owes {firm2} {amount}; {amount2} of it was paid on {date}.", {"debtor": "firm", "creditor": "firm2", "paid": "amount2"}),
    (3, "Room {small} is full, take room {small2}. Key at {name}'s desk, not {name2}'s.", {"room": "small2", "key_at": "name"}),
    (3, "From {city} via {city2} to {city3}, leaves {day}, arrives {day2}.", {"from": "city", "to": "city3", "arrives": "day2"}),
    (3, "fw: fw: {name} says {name2} forgot the {item}; pls bring it on {day}", {"forgot": "name2", "item": "item", "bring_on": "day"}),
    (3, "price was {amount}, then {amount2}; final offer of {name}: {amount3}", {"final_price": "amount3", "offered_by": "name"}),
    (3, "{name} ({age}) and {name2} ({age2}) both want the {item}; the older one gets it.", {"age_first": "age", "second": "name2", "item": "item"}),
    (3, "Appt {date} CANCELLED >> {date2}, Dr {name2} instead of Dr {name}", {"date": "date2", "doctor": "name2"}),
    (3, "Bill to: {firm}, {city}\nShip to: {firm2}, {city2}\nitem {code}", {"ship_firm": "firm2", "ship_city": "city2", "bill_city": "city"}),
    (3, "A: {amount} ({firm})\nB: {amount2} ({firm2})\nwe took B, thanks {name}", {"chosen_firm": "firm2", "chosen_price": "amount2"}),
    (3, "temp pw {word} void, real pw {word2}, user is {mail}", {"password": "word2", "user": "mail"}),
    (3, "1st {name}, 2nd {name2}, 3rd {name3} -- 1st was disqualified!", {"first_over_line": "name", "disqualified": "name", "third": "name3"}),
    (3, "qty 1O? no: {small}. {item} not {item2}. deliver {day2}, invoice {day}", {"quantity": "small", "item": "item", "delivery": "day2"}),
    (3, "{name} lent {name2} {amount} on {date}; half came back on {date2}.", {"lender": "name", "borrower": "name2", "lent_on": "date"}),
    (3, "Due {date}. Late fee {amount} after {date2}. Contact {name} or, if away, {name2}.", {"due": "date", "fee": "amount", "stand_in": "name2"}),
    (3, "Sold out: {item}. In stock: {item2} ({amount}). Next delivery: {day}.", {"in_stock": "item2", "price": "amount", "sold_out": "item"}),
]  # fmt: skip


def rows(n_samples: int = 200) -> list[dict[str, Any]]:
    """`n_samples` documents as dataset rows; the group is the layout, the target a JSON object of strings."""
    rng = np.random.default_rng(SEED)
    out: list[dict[str, Any]] = []
    for t, ((difficulty, text, fields), count) in enumerate(
        zip(DOCUMENTS, spread([1] * len(DOCUMENTS), n_samples), strict=True)
    ):
        for k in range(1, count + 1):
            values = _draw(rng)
            target = {key: slot[1:] if slot.startswith("=") else values[slot] for key, slot in fields.items()}
            out.append({
                "id": f"extract-{t:02d}-{k}",
                "input": f"{text.format(**values)}\n\nReturn JSON with the keys {', '.join(fields)}.",
                "target": json.dumps(target, ensure_ascii=False),
                "group": f"extract-{t:02d}",
                "difficulty": difficulty,
            })  # fmt: skip
    return out


def _draw(rng: np.random.Generator) -> dict[str, str]:
    """Three different draws of every kind of slot."""
    makers = {
        "name": lambda: f"{pick(rng, NAMES)} {pick(rng, SURNAMES)}",
        "city": lambda: pick(rng, CITIES),
        "item": lambda: pick(rng, ITEMS),
        "firm": lambda: pick(rng, FIRMS),
        "job": lambda: pick(rng, JOBS),
        "day": lambda: pick(rng, DAYS),
        "amount": lambda: f"${int(rng.integers(5, 900))}.{int(rng.integers(10, 99))}",
        "age": lambda: str(int(rng.integers(18, 80))),
        "small": lambda: str(int(rng.integers(2, 40))),
        "big": lambda: str(int(rng.integers(100, 9999))),
        "code": lambda: f"{pick(rng, 'ABCDEFGHKL')}{pick(rng, 'MNPRSTX')}-{int(rng.integers(100, 9999))}",
        "seat": lambda: f"{int(rng.integers(1, 40))}{pick(rng, 'ABCDEF')}",
        "phone": lambda: f"555-{int(rng.integers(1000, 9999))}",
        "date": lambda: f"2026-{int(rng.integers(1, 13)):02d}-{int(rng.integers(1, 29)):02d}",
        "word": lambda: pick(
            rng, ("falcon", "maple", "comet", "harbor", "ember", "willow", "quartz", "raven")
        ),
        "mail": lambda: f"{pick(rng, NAMES).lower()}@{pick(rng, ('mail', 'post', 'web'))}.example",
    }
    values: dict[str, str] = {}
    for kind, make in makers.items():
        drawn: list[str] = []
        while len(drawn) < 3:
            value = make()
            if value not in drawn:
                drawn.append(value)
        values |= {kind: drawn[0], f"{kind}2": drawn[1], f"{kind}3": drawn[2]}
    return values
