"""Tasks for an agent: files to read and fields to return. Hand-written files, contents drawn with a fixed seed.

Difficulty 1 is one file, 2 a choice between two files or two look-alike values, 3 values that must be brought together
from two files. A `.scan` is often badly formatted (garbled until it is repaired), a `.txt` seldom: so part of the
difficulty, and of the bill, stands in the prompt.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from evals.make.common import NAMES, pick, spread

SEED = 20261127
GARBLED = {".scan": 0.7, ".txt": 0.08}
"""Chance that a file is badly formatted, by ending."""
WEIGHTS = {1: 4, 2: 3, 3: 2}
FEW_SHOT = [
    (
        "Files: parts.scan\nTask: How many bolts are there? In the end give JSON with: bolts.\n"
        "Actions: READ file, or REPAIR file if it is garbled. Reply with one line like this:\nREAD parts.scan",
        "READ parts.scan",
    ),
    ("ERROR: reading parts.scan failed\nFormatError: 'n#ts#5\\nb#lt# 8'", "REPAIR parts.scan"),
    ('parts.scan:\nnuts 5\nbolts 8\n\nReply with JSON like {"bolts": "..."}.', '{"bolts": "8"}'),
]
CITIES = ("Lisbon", "Oslo", "Vienna", "Dublin", "Prague", "Turin", "Lyon", "Porto", "Basel", "Leeds")
ITEMS = ("lamp", "kettle", "drill", "ladder", "printer", "tent", "camera", "jacket", "sofa", "bicycle")
FIRMS = ("Nordwind", "Bluestone", "Tessera", "Oakline", "Mirabel", "Kestrel", "Alderby", "Polaris")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
WORDS = ("amber", "cobalt", "willow", "falcon", "harbour", "onyx", "maple", "comet")

# (difficulty, question, {file: text}, {field: slot}); `name2` is another draw of the kind of `name`.
TASKS: list[tuple[int, str, dict[str, str], dict[str, str]]] = [
    # one file
    (1, "Who sent the invoice, and what is the total?", {"invoice.txt": "INVOICE {code}\nfrom: {firm}\ntotal: {amount}"}, {"sender": "firm", "total": "amount"}),
    (1, "What is the name of the patient?", {"card.txt": "Patient: {name}\nWard: {small}"}, {"patient": "name"}),
    (1, "In which city is the office?", {"office.txt": "Office of {firm}\nCity: {city}"}, {"city": "city"}),
    (1, "What is the order number?", {"order.txt": "Order: {code}\nItem: {item}"}, {"order": "code"}),
    (1, "On which day is the class?", {"class.txt": "class: {day}\nteacher: {name}"}, {"day": "day"}),
    (1, "Who won, and what is the prize?", {"raffle.txt": "Winner: {name}\nPrize: {item}"}, {"winner": "name", "prize": "item"}),
    (1, "What is the phone number?", {"contact.txt": "{name}\ntel {phone}"}, {"phone": "phone"}),
    (1, "How many boxes were delivered?", {"delivery.txt": "boxes: {small}\ndriver: {name}"}, {"boxes": "small"}),
    (1, "What does the item cost?", {"price.txt": "item: {item}\nprice: {amount}"}, {"price": "amount"}),
    (1, "What is the password?", {"account.txt": "user: {name}\npassword: {word}"}, {"password": "word"}),
    (1, "Which room does the guest have?", {"guest.txt": "guest = {name}\nroom = {small}"}, {"room": "small"}),
    (1, "Who leads the team?", {"team.txt": "team: {word}\nlead: {name}"}, {"lead": "name"}),
    (1, "What is the seat?", {"ticket.txt": "ticket {code}\nseat: {seat}"}, {"seat": "seat"}),
    (1, "When does the lease end?", {"lease.txt": "tenant: {name}\nends: {date}"}, {"ends": "date"}),
    (1, "Who sent the parcel?", {"label.scan": "sender: {firm}\nparcel: {code}"}, {"sender": "firm"}),
    (1, "What is the rent?", {"flat.scan": "Flat in {city}\nrent: {amount}"}, {"rent": "amount"}),
    (1, "Which day is the exam, and in which room?", {"exam.txt": "exam: {day}\nroom: {small}"}, {"day": "day", "room": "small"}),
    (1, "What is the meter reading?", {"meter.scan": "meter: {big}\nread by {name}"}, {"reading": "big"}),
    (1, "Who is the buyer?", {"sale.scan": "item: {item}\nbuyer: {name}"}, {"buyer": "name"}),
    (1, "Where does the train go?", {"train.txt": "train {code}\nto: {city}"}, {"city": "city"}),
    (1, "What was lost?", {"lost.txt": "lost: {item}\non: {day}"}, {"lost": "item"}),
    (1, "What is the fee?", {"course.txt": "course: welding\nfee: {amount}"}, {"fee": "amount"}),
    # two look-alike values, or two files of which one matters
    (2, "Who is the buyer, and what did they pay?", {"deal.txt": "seller: {name}\nbuyer: {name2}\nasked: {amount}\npaid: {amount2}"}, {"buyer": "name2", "paid": "amount2"}),
    (2, "Where does the trip end?", {"trip.txt": "from: {city}\nvia: {city2}\nto: {city3}"}, {"end": "city3"}),
    (2, "What is the new phone number?", {"phones.txt": "old: {phone}\nnew: {phone2}"}, {"new": "phone2"}),
    (2, "Who has the late shift?", {"shifts.txt": "early: {name}\nlate: {name2}\nnight: {name3}"}, {"late": "name2"}),
    (2, "What is the total?", {"bill.scan": "net: {amount}\ntax: {amount2}\ntotal: {amount3}"}, {"total": "amount3"}),
    (2, "On which day is the meeting now?", {"moved.txt": "meeting was {day}\nmeeting is now {day2}"}, {"day": "day2"}),
    (2, "Which firm was chosen?", {"bids.txt": "bid A: {firm}\nbid B: {firm2}\nchosen: B"}, {"chosen": "firm2"}),
    (2, "Who wrote the letter, and to whom?", {"letter.scan": "from: {name}\nto: {name2}\ncopy: {name3}"}, {"from": "name", "to": "name2"}),
    (2, "How many lamps are in stock?", {"note.txt": "{name} has the van on {day}.", "stock.scan": "tents {small}\nlamps {small2}"}, {"lamps": "small2"}),
    (2, "What does the invoice of the firm come to?", {"mail.txt": "Dear {name}, see you on {day}.", "invoice.txt": "firm: {firm}\ntotal: {amount}"}, {"total": "amount"}),
    (2, "Who signed the contract?", {"menu.txt": "soup, fish, tea", "contract.scan": "firm: {firm}\nsigned: {name}"}, {"signed": "name"}),
    (2, "In which city is the warehouse?", {"offices.txt": "office: {city}", "warehouse.txt": "warehouse: {city2}"}, {"warehouse": "city2"}),
    (2, "What is the code of the parcel?", {"letter.txt": "letter code: {code}", "parcel.scan": "parcel code: {code2}"}, {"code": "code2"}),
    (2, "When does the shop close?", {"museum.txt": "museum closes on {date}", "shop.txt": "shop closes on {date2}"}, {"closes": "date2"}),
    (2, "Which seat has the second guest?", {"seats.txt": "first guest: {seat}\nsecond guest: {seat2}"}, {"seat": "seat2"}),
    (2, "What is the password of the admin?", {"users.txt": "guest: {word}\nadmin: {word2}"}, {"password": "word2"}),
    (2, "Who teaches on Friday?", {"plan.txt": "Thursday: {name}\nFriday: {name2}"}, {"teacher": "name2"}),
    (2, "How much was refunded?", {"refund.scan": "paid: {amount}\nrefunded: {amount2}"}, {"refunded": "amount2"}),
    (2, "What is the reading of meter 2?", {"meters.txt": "meter 1: {big}\nmeter 2: {big2}"}, {"reading": "big2"}),
    (2, "Who is the doctor?", {"ward.txt": "patient: {name}\nnurse: {name2}\ndoctor: {name3}"}, {"doctor": "name3"}),
    (2, "What does the camera cost?", {"shop_a.txt": "sofa: {amount}", "shop_b.txt": "camera: {amount2}"}, {"camera": "amount2"}),
    (2, "Which item is out of stock?", {"status.txt": "in stock: {item}\nout of stock: {item2}"}, {"item": "item2"}),
    # brought together from two files
    (3, "Who booked the room, and what does it cost?", {"booking.txt": "room booked by {name}", "rates.txt": "room rate: {amount}"}, {"guest": "name", "cost": "amount"}),
    (3, "Who drives, and to which city?", {"drivers.txt": "driver: {name}", "route.scan": "goes to {city}"}, {"driver": "name", "city": "city"}),
    (3, "What was ordered, and when does it arrive?", {"order.txt": "ordered: {item}", "freight.txt": "arrives {date}"}, {"item": "item", "arrives": "date"}),
    (3, "Which firm sent it, and what is the total?", {"cover.scan": "sent by {firm}", "sum.txt": "subtotal {amount}\ntotal {amount2}"}, {"firm": "firm", "total": "amount2"}),
    (3, "Who is the tenant, and what is the phone number?", {"tenants.txt": "tenant: {name}", "phones.txt": "tel: {phone}"}, {"tenant": "name", "phone": "phone"}),
    (3, "On which day is the talk, and who gives it?", {"days.txt": "talk on {day}", "speakers.txt": "speaker: {name}"}, {"day": "day", "speaker": "name"}),
    (3, "What is the user's name and password?", {"user.txt": "name: {name}", "secret.scan": "password: {word}"}, {"name": "name", "password": "word"}),
    (3, "How many tents, and how many lamps?", {"tents.txt": "tents: {small}", "lamps.txt": "lamps: {small2}"}, {"tents": "small", "lamps": "small2"}),
    (3, "What are the readings of both meters?", {"meter_1.scan": "reads {big}", "meter_2.txt": "reads {big2}"}, {"meter_1": "big", "meter_2": "big2"}),
    (3, "Where is the old office, and where is the new one?", {"old.txt": "office in {city}", "new.txt": "office in {city2}"}, {"old": "city", "new": "city2"}),
    (3, "Who sold the item, and who bought it?", {"seller.txt": "sold by {name}", "buyer.scan": "bought by {name2}"}, {"seller": "name", "buyer": "name2"}),
    (3, "What is the ticket number, and what is the seat?", {"ticket.txt": "number {code}", "hall.txt": "seat {seat}"}, {"ticket": "code", "seat": "seat"}),
    (3, "Which dates are the start and the end?", {"start.scan": "starts {date}", "end.scan": "ends {date2}"}, {"start": "date", "end": "date2"}),
    (3, "What do the lamp and the sofa cost?", {"lamp.txt": "lamp {amount}", "sofa.scan": "sofa {amount2}"}, {"lamp": "amount", "sofa": "amount2"}),
    (3, "Who is in room 1, and who is in room 2?", {"room_1.txt": "guest {name}", "room_2.txt": "guest {name2}"}, {"room_1": "name", "room_2": "name2"}),
    (3, "What is the firm, and in which city is it?", {"firm.txt": "firm: {firm}", "address.txt": "city: {city}"}, {"firm": "firm", "city": "city"}),
    (3, "Which code has the parcel, and who gets it?", {"codes.txt": "parcel {code}", "names.scan": "for {name}"}, {"code": "code", "name": "name"}),
    (3, "Who is the cook on Monday, and who on Sunday?", {"monday.txt": "cook: {name}", "sunday.txt": "cook: {name2}"}, {"monday": "name", "sunday": "name2"}),
    (3, "What was paid, and on which date?", {"sums.scan": "paid {amount}", "dates.txt": "on {date}"}, {"paid": "amount", "date": "date"}),
    (3, "Which item won, and who made it?", {"prize.txt": "winner: {item}", "makers.txt": "made by {firm}"}, {"item": "item", "maker": "firm"}),
]  # fmt: skip


def rows(n_samples: int = 100) -> list[dict[str, Any]]:
    """`n_samples` tasks as dataset rows; the group is the task template, the target a JSON object of strings.

    A file list in another order and another question number make prompts distinct; contents are not in the prompt.
    """
    rng = np.random.default_rng(SEED)
    out: list[dict[str, Any]] = []
    counts = spread([WEIGHTS[difficulty] for difficulty, *_ in TASKS], n_samples)
    for t, ((difficulty, question, files, fields), count) in enumerate(zip(TASKS, counts, strict=True)):
        for k in range(1, count + 1):
            values = _draw(rng)
            # Numbered like real files, so that no two prompts are the same text.
            number = 10 * int(rng.integers(1, 10)) + k
            named = {_numbered(name, number): text.format(**values) for name, text in files.items()}
            order = [list(named)[int(i)] for i in rng.permutation(len(named))]
            documents = {name: named[name] for name in order}
            broken = [name for name in order if rng.random() < GARBLED["." + name.rpartition(".")[2]]]
            out.append({
                "id": f"agent-{t:02d}-{k}",
                "input": prompt(question, order, list(fields)),
                "target": json.dumps({key: values[slot] for key, slot in fields.items()}),
                "group": f"agent-{t:02d}",
                "difficulty": difficulty,
                "documents": documents,
                "broken": broken,
                "fields": list(fields),
            })  # fmt: skip
    return out


def prompt(question: str, files: list[str], fields: list[str]) -> str:
    """The whole of what the first turn sees, and so of what a router sees."""
    return (
        f"Files: {', '.join(files)}\nTask: {question} In the end give JSON with: {', '.join(fields)}.\n"
        f"Actions: READ file, or REPAIR file if it is garbled. Reply with one line like this:\nREAD {files[0]}"
    )


def _numbered(name: str, number: int) -> str:
    stem, _, ending = name.rpartition(".")
    return f"{stem}{number}.{ending}"


def _draw(rng: np.random.Generator) -> dict[str, str]:
    """Three different draws of every kind of slot."""
    lists: dict[str, tuple[str, ...]] = {
        "name": NAMES, "city": CITIES, "item": ITEMS, "firm": FIRMS, "day": DAYS, "word": WORDS
    }  # fmt: skip
    months = ("March", "May", "June", "July", "October")
    makers = {
        "amount": lambda: f"${int(rng.integers(11, 990))}",
        "small": lambda: str(int(rng.integers(2, 60))),
        "big": lambda: str(int(rng.integers(1000, 9999))),
        "code": lambda: f"{pick(rng, ('A', 'K', 'R', 'T'))}{int(rng.integers(100, 999))}",
        "seat": lambda: f"{int(rng.integers(1, 30))}{pick(rng, ('A', 'B', 'C', 'D'))}",
        "phone": lambda: f"555-{int(rng.integers(1000, 9999))}",
        "date": lambda: f"{int(rng.integers(1, 28))} {pick(rng, months)}",
    }
    values: dict[str, str] = {}
    for kind, choices in lists.items():
        drawn = [choices[int(i)] for i in rng.permutation(len(choices))[:3]]
        values |= {f"{kind}{n}": word for n, word in zip(("", "2", "3"), drawn, strict=True)}
    for kind, make in makers.items():
        found: dict[str, None] = {}
        while len(found) < 3:
            found[make()] = None
        values |= {f"{kind}{n}": word for n, word in zip(("", "2", "3"), found, strict=True)}
    return values
