"""Support tickets to be sorted into six labels: hand-written tickets, each told in a few ways, some with traps.

The label is the desk that must act first, by the rules of `datasets/triage/README.md`: what the customer wants done,
not the words that occur. Difficulty 1 is plain, 2 is noisy or indirect, 3 mentions another desk's business on the way.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from evals.make.common import NAMES, pick, spread

SEED = 20261123
LABELS = ("billing", "login", "bug", "shipping", "feature", "cancel")
QUESTION = "Which label fits: billing, login, bug, shipping, feature or cancel?"
FEW_SHOT = [
    ("Ticket: You took the money twice for my March invoice.\n" + QUESTION, "billing"),
    ("Ticket: Please add a button to sort my list by date.\n" + QUESTION, "feature"),
]

SLOTS: dict[str, tuple[str, ...]] = {
    "p": (
        "desk lamp",
        "blue kettle",
        "headphones",
        "garden chair",
        "rain jacket",
        "coffee grinder",
        "phone case",
    ),
    "m": ("January", "March", "April", "June", "August", "October", "November"),
    "d": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"),
    "w": ("two", "three", "four", "five", "six"),
    "amt": ("$12", "$19.90", "$24", "$38", "$49", "$75", "$120"),
    "dev": ("iPhone", "Android phone", "iPad", "laptop", "work computer", "old tablet"),
    "br": ("Chrome", "Firefox", "Safari", "Edge"),
    "no": ("4417", "20931", "7750", "88126", "3002", "51840"),
}
OPENERS = ("", "", "", "Hi, ", "Hello, ", "Hi there, ", "Good morning, ", "Hey, ", "Dear team, ")
CLOSERS = (
    "",
    "",
    "",
    " Thanks!",
    " Please help.",
    " {n}",
    " Regards, {n}",
    " Waiting for your answer.",
    " Sent from my phone.",
)

# (label, difficulty, the ways to tell it)
TICKETS: list[tuple[str, int, tuple[str, ...]]] = [
    ("billing", 1, ("I was charged {amt} twice in {m}.", "My card shows two payments of {amt} for {m}.", "There is a double charge of {amt} on my {m} statement.")),
    ("billing", 1, ("Can you send me the invoice for {m}?", "I need the {m} invoice for my accountant.", "Where do I get a receipt for my {m} payment?")),
    ("billing", 1, ("The bill says {amt} but the price on your site was lower.", "Why is my {m} bill {amt}? I expected less.", "I was billed {amt} more than agreed in {m}.")),
    ("billing", 1, ("Please refund the {amt} I paid in {m}.", "I want my {amt} back, the {m} charge was wrong.", "When will I get my refund of {amt}?")),
    ("billing", 1, ("My credit card expired, how do I pay with a new one?", "I got a new card. Where can I change the payment method?", "How do I pay by bank transfer instead of card?")),
    ("billing", 2, ("We are a charity and should not be paying tax, yet {amt} of VAT is on the {m} bill.", "VAT of {amt} was added for {m} although I sent you our tax number.", "Our company name is wrong on the {m} invoice, can you correct it?")),
    ("billing", 2, ("my bank asks what this {amt} from you in {m} is for?? i dont remember", "theres {amt} gone from my account since {d} and your name next to it, explain pls", "who took {amt} on {d}? statement says its you")),
    ("billing", 2, ("The discount code for {m} was accepted but I still paid the full {amt}.", "I used the voucher and it did nothing, {amt} was taken all the same.", "The student price was promised, yet {amt} left my account in {m}.")),
    ("billing", 3, ("I cancelled in {m} and you still took {amt} on {d}. Give it back.", "My subscription ended long ago, why is there a charge of {amt} in {m}?", "After cancelling I was charged {amt} once more. Refund please.")),
    ("billing", 3, ("The parcel with the {p} came fine, but I paid {amt} for express and the site said shipping is free.", "You charged {amt} for delivery of the {p} although my order was over the free limit.", "The {p} arrived on {d}. The delivery fee of {amt} was not in the price I agreed to.")),
    ("billing", 3, ("I can log in now, thanks. But the {m} payment of {amt} is shown twice there.", "Login works again. Now I see {amt} was taken twice in {m}, please correct.", "Since I have access again I looked at my invoices: {m} is {amt} too high.")),
    ("login", 1, ("I forgot my password.", "How do I reset my password?", "I don't remember my password any more, please send a new one.")),
    ("login", 1, ("I cannot log in to my account.", "Login fails with 'wrong password' on my {dev}.", "Your site does not let me sign in on my {dev}.")),
    ("login", 1, ("My account is locked after {w} wrong tries.", "It says account locked. I tried {w} times.", "You locked my account after {w} attempts, please unlock it.")),
    ("login", 1, ("The code by text message never arrives, so I can't sign in.", "I get no verification code on my phone when signing in.", "Two-factor code does not come, I am shut out since {d}.")),
    ("login", 1, ("My username is not recognised when I sign in.", "Sign-in says there is no user with my e-mail.", "It tells me my e-mail is unknown when I log in.")),
    ("login", 2, ("i changed my phone and now the 6 digits thing is gone, cant get in", "new {dev}, no authenticator any more, how do i get into my account", "lost my {dev} on {d}, the codes were on it, cant get in anywhere")),
    ("login", 2, ("The reset mail comes, the link says expired. I tried {w} times.", "Every link to choose a new password is 'no longer valid'.", "I click the link in your password mail and it is already used up.")),
    ("login", 2, ("My colleague {n} left and nobody knows the password of our team account.", "{n} set up our account and is gone; how do we get into it?", "We took over the shop from {n} and have no access to the account.")),
    ("login", 2, ("It throws me back to the start page each time I enter my name and password.", "I enter my details, press sign in, and I am asked for them again.", "After entering password on {br} I land on the sign-in page again and again.")),
    ("login", 3, ("I wanted to pay my {m} bill but my password is refused.", "To pay the {amt} I must sign in, and it says wrong password.", "I can't get to my invoices as my account is locked since {d}.")),
    ("login", 3, ("I'd like to track my {p} but the site does not accept my password.", "Where my parcel is stands in my account, and I am locked out of that.", "Cannot see my order {no}: sign-in says unknown user.")),
    ("login", 3, ("Since the update my fingerprint no longer unlocks my account and I forgot the password.", "After the new version I was signed out on my {dev} and the password is not accepted.", "The update signed me out and now the reset code does not come.")),
    ("bug", 1, ("The app crashes when I open it on my {dev}.", "Your app closes by itself on my {dev}.", "The app crashes on my {dev} since {d}.")),
    ("bug", 1, ("The save button does nothing in {br}.", "When I press save in {br}, nothing happens.", "Saving does not work in {br}, the button is dead.")),
    ("bug", 1, ("I get 'error 500' when I upload a photo.", "Uploading a file ends with error {no}.", "Photo upload fails with an error message since {d}.")),
    ("bug", 1, ("The page stays blank in {br}.", "I only see a white page in {br}.", "The settings page does not load, it is empty in {br}.")),
    ("bug", 1, ("Search shows no results, even for things that exist.", "The search finds nothing since {d}.", "Search is broken: the {p} is in my list but is not found.")),
    ("bug", 2, ("when i scroll down the pics overlap the text, looks awful on my {dev}", "half of the text is cut off on my {dev}", "letters are on top of each other on the start page, {br}")),
    ("bug", 2, ("My notes from {d} have vanished after I synced my {dev}.", "Since syncing, {w} of my lists are empty.", "Everything I wrote on {d} is gone from the app.")),
    ("bug", 2, ("The calendar shows all meetings one hour late.", "Times in the app are off by {w} hours since the clock change.", "Reminders come on the wrong day since {d}.")),
    ("bug", 2, ("Export gives me a file that no program can open.", "The PDF I download is damaged, I tried {w} times.", "The table that I export has all columns mixed up.")),
    ("bug", 2, ("My {dev} gets hot and the battery is empty in an hour when your app is open.", "The app is so slow since {d} that typing one word takes a minute.", "It freezes for {w} minutes whenever I open a long list.")),
    ("bug", 3, ("The invoice page shows 'undefined' in place of every amount.", "The payments page is full of strange signs in {br}, no number is readable.", "When I open the list of invoices the app closes.")),
    ("bug", 3, ("The tracking map is a grey square in {br}, on every order.", "The 'track parcel' button does nothing on my {dev}.", "The delivery page shows an error {no} for all my orders.")),
    ("bug", 3, ("I signed in fine, but then every menu is in Chinese although I chose English.", "Login is ok. After it the dashboard freezes each time.", "Once I am logged in, the start page loads for ever.")),
    ("bug", 3, ("Your new sort feature puts the oldest first whatever I choose.", "The dark mode that you added makes the text black on black.", "The feature to share lists sends an empty list.")),
    ("shipping", 1, ("Where is my order {no}?", "My parcel {no} has not arrived.", "When will order {no} be delivered?")),
    ("shipping", 1, ("My {p} should have come on {d} and is not here.", "The delivery of my {p} is {w} days late.", "I am still waiting for the {p} I ordered {w} weeks ago.")),
    ("shipping", 1, ("The {p} arrived broken.", "My {p} came damaged, the box was torn.", "The {p} in parcel {no} is broken to pieces.")),
    ("shipping", 1, ("You sent a {p}, but I ordered something else.", "Wrong item in the parcel: I got a {p}.", "I received a {p} that I never ordered in parcel {no}.")),
    ("shipping", 1, ("Please send order {no} to my office instead of my home.", "Can I change the delivery address of order {no}?", "I moved. Please deliver the {p} to my new address.")),
    ("shipping", 2, ("tracking says delivered on {d} but there is nothing at my door", "the driver says he left it with a neighbour, no neighbour has it", "status 'delivered' since {d}, i have no {p}")),
    ("shipping", 2, ("Do you deliver to Norway, and how long does it take?", "How many days does a {p} take to Portugal?", "Can you send a {p} to an island without a road?")),
    ("shipping", 2, ("Two of the {w} boxes came. The rest?", "One half of order {no} is missing from the box.", "In the box was one {p}, I paid for {w}.")),
    ("shipping", 2, ("Customs is holding the {p} and wants a paper from you.", "The parcel has been stuck at the border since {d}.", "Customs sent a letter about order {no}: they need a form.")),
    ("shipping", 3, ("I paid {amt} on {d}, the money is gone, but the {p} has not come.", "You were quick to take {amt}. Now where is my {p}?", "Card charged {amt}, confirmation came, parcel did not.")),
    ("shipping", 3, ("The app says my {p} is 'out for delivery' since {d}. Is it really?", "Your tracking page works, but order {no} has not moved for {w} days.", "In my account the order is 'sent'. That was {w} weeks ago.")),
    ("shipping", 3, ("Don't cancel order {no}, I still want the {p}, just bring it after {d}.", "I don't want to cancel, I want the {p} delivered next week, as I am away.", "Please hold the parcel until {d}, do not cancel it.")),
    ("feature", 1, ("Please add a dark mode.", "It would be great to have a dark mode on my {dev}.", "Could you add a dark theme for the night?")),
    ("feature", 1, ("I wish I could export my lists to Excel.", "Please add an export to PDF.", "Could you add a way to download all my notes?")),
    ("feature", 1, ("Could you add support for {br}?", "Please make a version for the {dev}.", "Are you planning an app for the {dev}? I would love it.")),
    ("feature", 1, ("It would be nice to share lists with my family.", "Please let me share a list with friends.", "An option to share with others would be great.")),
    ("feature", 2, ("why cant i put photos in order by hand? would help a lot", "id love to drag the items around, now the order is fixed", "one thing is missing for me: sorting by colour")),
    ("feature", 2, ("Have you thought of a weekly summary by mail?", "A reminder {w} days before a deadline would be useful to us.", "Our team would be happy about a shared calendar.")),
    ("feature", 2, ("The letters are small for old eyes. A size setting would be kind.", "Voices for blind people are missing; can they be built in?", "My father speaks only Spanish. A Spanish version, perhaps?")),
    ("feature", 3, ("Could you let people pay with PayPal some day? Card works, I just prefer it.", "It would be good if one could split a bill between {w} cards in future.", "A yearly overview of all invoices would be a nice addition.")),
    ("feature", 3, ("Sign-in with a fingerprint would be a great addition.", "Please offer login with a Google account in the next version.", "It would be nice to stay logged in on {w} devices at once.")),
    ("feature", 3, ("It would be lovely to choose the hour of delivery one day.", "A map that shows the driver would be a great addition to the order page.", "Please build in an option for gift wrapping the {p}.")),
    ("feature", 3, ("No bug, just an idea: undo after deleting.", "Nothing is broken, I only wish there were more colours.", "All works well. An offline mode would make it perfect.")),
    ("cancel", 1, ("Please cancel my subscription.", "I want to cancel my plan at the end of {m}.", "Cancel my membership, please.")),
    ("cancel", 1, ("Please close and delete my account.", "Delete my account and all my data.", "I want my account closed by {d}.")),
    ("cancel", 1, ("Stop my subscription, I do not need it any more.", "I no longer use the service and want to end the contract.", "Please end my contract in {m}.")),
    ("cancel", 1, ("Cancel order {no}, please, it is not sent yet.", "I changed my mind, please cancel my order of the {p}.", "Please cancel order {no} before it leaves.")),
    ("cancel", 2, ("we found another provider. how do we get out of this by {m}?", "not renewing. what must i do before {m}?", "im done with you guys, take me off your list of customers")),
    ("cancel", 2, ("My mother died in {m}. She had a plan with you; please end it.", "Our firm shuts in {m}. We will not need the seats after that.", "{n} has left us and the seat should go at the end of {m}.")),
    ("cancel", 2, ("The free trial ends on {d} and I do not wish to go on.", "Don't turn my trial into a plan.", "I tried it for {w} weeks. It is not for me, so let it end.")),
    ("cancel", 3, ("{amt} a month is too much for me, so please end my plan.", "Since the price went up to {amt} I no longer want it. Stop it by {m}.", "The bills are right, but I can't afford {amt} any longer: end it.")),
    ("cancel", 3, ("The app crashes, support is slow, and I have had enough: close my account.", "After {w} bugs in one week I am leaving. End my subscription.", "Nothing works on my {dev}. I don't want it fixed, I want out of the contract.")),
    ("cancel", 3, ("The {p} is so late that I no longer want it. Call the order off.", "Order {no} is still not here; please stop it, I bought one elsewhere.", "No need to look for parcel {no}: I take back my order.")),
]  # fmt: skip


def rows(n_samples: int = 200) -> list[dict[str, Any]]:
    """`n_samples` tickets as dataset rows; the group is the ticket, however it is told."""
    rng = np.random.default_rng(SEED)
    out: list[dict[str, Any]] = []
    for t, ((label, difficulty, ways), count) in enumerate(
        zip(TICKETS, spread([1] * len(TICKETS), n_samples), strict=True)
    ):
        order = rng.permutation(len(ways))[:count]
        for k, way in enumerate(order, start=1):
            out.append({
                "id": f"triage-{t:02d}-{k}",
                "input": f"Ticket: {_tell(rng, ways[int(way)])}\n{QUESTION}",
                "target": label,
                "group": f"triage-{t:02d}",
                "difficulty": difficulty,
            })  # fmt: skip
    return out


def _tell(rng: np.random.Generator, text: str) -> str:
    values = {name: pick(rng, options) for name, options in SLOTS.items()} | {"n": pick(rng, NAMES)}
    return (pick(rng, OPENERS) + text + pick(rng, CLOSERS)).format(**values)
