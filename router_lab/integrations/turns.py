"""One request on its way: who is asked now, what may be spent on it, who comes after, and what the
caller is told."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from router_lab.integrations.answers import Answer
from router_lab.integrations.failures import failure_of, refused
from router_lab.integrations.hosts import Host, profile_of
from router_lab.integrations.sessions import Used
from router_lab.runtime.budget import MOST_TOKENS, Budget, BudgetExceeded, Reservation
from router_lab.runtime.decision import Decision
from router_lab.runtime.errors import PolicyError, RouterLabWarning, shown
from router_lab.runtime.messages import last_user_text
from router_lab.runtime.model import Candidate, Profile
from router_lab.runtime.reasons import BARE

if TYPE_CHECKING:
    from router_lab.integrations.routing import Routing

STREAMED = "off: the answer is streamed"
"""Why nothing was judged: what is shown as it comes cannot be taken back."""
ANOTHERS = "off: another model answered"
HEADER_CHARS = 400
_plain = re.compile("[ -~]*").fullmatch
_NAMES = "model effort revision code reason stages escalation left-out id answered-by"
_HEADERS = tuple(f"x-router-lab-{name}" for name in _NAMES.split())


class Told(NamedTuple):
    """What is said of a request to its caller. stages: who was asked before `candidate`, whose
    answer this is. escalation: "on", "none" (no chain, or nobody is left), or "off: …".
    left_out: the caller's arguments that what was measured replaced. id: of the decision log.
    answered_by: who answered in the place of `candidate`, where the host fell back by itself."""

    candidate: Candidate
    revision: str
    code: str
    reason: str
    suite: str | None = None
    session: str | None = None
    stages: tuple[Candidate, ...] = ()
    escalation: str = "none"
    left_out: tuple[str, ...] = ()
    id: str | None = None
    answered_by: str | None = None

    def headers(self) -> dict[str, str]:
        """As headers of a response: names in lower case, values of one line of ASCII."""
        values: tuple[str, ...] = (
            self.candidate.model,
            self.candidate.effort or "",
            self.revision,
            self.code,
            self.reason,
            ", ".join(map(str, self.stages)),
            self.escalation,
            ", ".join(self.left_out),
            self.id or "",
            self.answered_by or "",
        )
        whole = "".join(values)  # looked at once: nearly all are plain
        if _plain(whole) is None:
            values = tuple(map(_line, values))
        cut = [value[:HEADER_CHARS].strip() for value in values]  # a space at an end breaks the response
        return {name: value for name, value in zip(_HEADERS, cut) if value}  # noqa: B905  # as in brief.py


def _line(text: str) -> str:
    """A text of printable ASCII, of one line."""
    plain = "".join(char if char.isprintable() else " " for char in text[:HEADER_CHARS])
    return plain.encode("ascii", "replace").decode("ascii")


class Request(NamedTuple):
    """What stays the same while one after another is asked. session: the user's name of it;
    remembered: by what it is remembered. size: tokens at most. said: of those whom the host cannot
    ask. asked: the arguments of `decide`, `prompt` among them. answers: how many at once."""

    host: Host
    suite: str | None
    session: str | None
    remembered: str | None
    budget: Budget | None
    stream: bool
    size: int
    said: str
    asked: Mapping[str, Any]
    answers: int = 1


class Turn:
    """Who is asked for one request, now. Made by `Routing.begin`, and by `answered` and `failed`
    for who comes after."""

    def __init__(
        self,
        routing: Routing,
        request: Request,
        decision: Decision,
        stages: tuple[Candidate, ...] = (),
        log_id: str | None = None,
    ) -> None:
        self._routing, self._request, self.decision = routing, request, decision
        self._stages, self._id = stages, log_id
        self._suite = None if decision.unknown_suite is not None else request.suite
        seen = routing.escalate and not request.stream
        self.judged = seen and (routing.check is not None or bool(decision.chain))
        """Whether it matters what the answer says: there is somebody to ask after it."""
        self._held: Reservation | None = None
        self._short: int | None = None
        """Tokens that an answer may have where its budget has no room for more."""
        self._told: Told | None = None
        self.left_out: tuple[str, ...] = ()
        """To be set by the host, before it asks for `told`: the caller's arguments that were left
        out."""
        self._by: str | None = None
        self.begun = False
        """To be set by the host: whether a stream's headers were written, or a part of it shown, so
        that a provider is at work, and nobody can take its place."""
        self.lost = False
        """To be set by the host: whether an attempt before the one that failed in the end may have
        been at work."""
        log = routing.log
        if log is not None:
            said = None if log_id is not None else request.asked["prompt"]  # once for a request
            text = last_user_text(said) if isinstance(said, list) else said
            self._id = log.write(decision, prompt=text, suite=request.suite, after=log_id)

    @property
    def asked(self) -> Mapping[str, Any]:
        """The arguments with which the policy was asked."""
        return self._request.asked

    @property
    def model(self) -> str | None:
        """The name under which the host knows the candidate's model."""
        if self.decision.code in BARE:
            return self.decision.model
        return self._named(profile_of(self.decision))

    @property
    def most_output(self) -> int | None:
        """How many tokens the answer may have, from the session's budget; None = as many as it was
        measured with."""
        most = None if self._held is None else self._held.max_output_tokens
        return None if most is None else most // self._request.answers

    @property
    def counted(self) -> bool:
        """Whether what the call uses is taken off a budget."""
        return self._held is not None

    @property
    def told(self) -> Told:
        """What the caller is told; once it was asked for, it stays."""
        if self._told is not None:
            return self._told
        decision, request, escalation = self.decision, self._request, "none"
        if decision.chain:
            escalation = STREAMED if request.stream else "on" if self._routing.escalate else "none"
        reason = decision.reason + (f"; {request.said}" if request.said else "")
        if self._by is not None:
            reason = f"{self._by} answered in its place, to which the gateway fell back by itself; decided: {reason}"
            escalation = ANOTHERS if decision.chain else escalation
        if self._short is not None:
            reason += f"; what is left of the budget cuts its answer at {self._short:,} tokens"
        who = decision.candidate
        if decision.code in BARE and not decision.measured:
            who = Candidate(who.model)  # nothing is known of what asks for an effort, so nothing did
        self._told = Told(
            who, decision.revision, decision.code, reason, request.suite, request.session,
            self._stages, escalation=escalation, left_out=self.left_out, id=self._id,
            answered_by=self._by,
        )  # fmt: skip
        return self._told

    def reserve(self) -> None:
        """Set aside what this call may cost its session, or raise BudgetExceeded before it is
        made. Without a budget nothing happens. An answer may be shorter than what was measured
        asked for, but has room for all that was recorded: what is cut off is paid for."""
        budget = None if self._held is not None else self._budget()
        if budget is None:
            return
        profile = profile_of(self.decision)
        around, most, thinks = self._routing.servable.sent(profile, self._suite)
        if most is None and (most := self.decision.limits.max_tokens) is None:
            most = profile.max_output_tokens
        answers = self._request.answers
        if most is not None and answers > 1:  # any number that the caller likes
            most = min(most * answers, MOST_TOKENS)
        try:
            held = budget.reserve(self._request.size + around, max_output_tokens=most)
        except BudgetExceeded as error:
            raise BudgetExceeded(error.limit, error.needed, error.left, self._spender()) from None
        room = held.max_output_tokens
        if room is not None and (room != most or room < answers):  # each has a token at least
            least = max(self.decision.limits.max_tokens or 1, thinks + 1) * answers
            least = max(least if most is None else min(least, most), answers)
            if room < least:
                held.release()
                raise BudgetExceeded("tokens of output", least, room, self._spender())
            self._short = None if most is None else room // answers
        self._held = held

    def _spender(self) -> str:
        """Whose budget it is: without a session's name the request is one of its own."""
        return "this request, which names no session" if self._request.session is None else "the session"

    def replaced(self, by: str) -> None:
        """The host fell back to `by` itself, which answers in this one's place. What was measured
        says nothing of that answer: it is not judged, it counts as all that was set aside at least,
        and it stands in the log as its own. Another deployment of the model
        itself is nobody else. Of a stream that breaks off anew the last one is who answered."""
        if by != (self._by or self.model):
            self._by, self.judged, self._told = by, False, None
            if self._routing.log is not None:
                self._routing.log.write(self.decision, suite=self._request.suite, after=self._id, by=by)

    def answered(self, answer: Answer | None) -> Turn | None:
        """Who is asked after this answer; None = it is kept. Of None, an answer that is streamed,
        nothing is known yet: tell of it with `finished`."""
        if answer is None:
            return None
        routing = self._routing
        self._settle(answer.used)
        onward = None
        if self.judged and not answer.calls_tools:
            signals = {**answer.signals, **_own(routing.signals, answer.text, {})}
            onward = self.decision.judge(
                answer.text, signals=signals, check=_own(routing.check, answer.text, None)
            )
        if onward is None:
            self._kept(answer)
            return None
        return self._onward(onward)

    def finished(self, answer: Answer) -> None:
        """A streamed answer has ended, or nobody reads on."""
        self._settle(answer.used)
        self._kept(answer)

    def _kept(self, answer: Answer) -> None:
        if self._by is None:  # no cache of this one's holds what another has read
            self._routing.serve(self._request, self.decision, answer)

    def stands(self, answer: Answer) -> None:
        """This answer is kept after all: whoever was asked after it gave none."""
        if self._routing.log is not None:
            self._routing.log.write(self.decision, suite=self._request.suite, after=self._id, kept=True)
        self._kept(answer)

    def unsent(self) -> None:
        """The call was never made: what was set aside for it is given back."""
        held, self._held = self._held, None
        if held is not None:
            held.release()

    def given_up(self, error: BaseException) -> None:
        """The call gave no answer, and nobody is asked after it."""
        held, self._held = self._held, None
        if held is not None and not (self.begun or self.lost) and refused(error):
            held.release()  # before any work was done
        elif held is not None:
            held.__exit__()

    def failed(self, error: BaseException) -> Turn | None:
        """Who is asked after a call that gave no answer; None where the error is the caller's own,
        or nobody is left."""
        failure = None if self.begun else failure_of(error)
        self.given_up(error)
        if failure is None or not self._routing.fallbacks:
            return None
        try:
            return self._onward(self.decision.next(failure))
        except PolicyError:
            return None

    def _onward(self, decision: Decision) -> Turn:
        return Turn(
            self._routing, self._request, decision, (*self._stages, self.decision.candidate), self._id
        )

    def _budget(self) -> Budget | None:
        whole, prices = self._request.budget, profile_of(self.decision).prices
        if whole is None:
            return None
        if whole.max_usd is not None and prices is None:
            raise PolicyError(
                f"{self.decision.candidate} has no prices, and the session's budget is in dollars: give the store's "
                "`default` as a Profile with prices, or the session turns or tokens"
            )
        return whole.at(prices)

    def _settle(self, used: Used | None) -> None:
        held, self._held = self._held, None
        if held is None:
            return
        if used is None:
            held.__exit__()  # all of it: what was used is not known
        elif self._by is None:
            held.settle(used.input, used.output, cached_tokens=used.read)
        else:
            self._settle_another(held, used, self._by)

    def _settle_another(self, held: Reservation, used: Used, by: str) -> None:
        """Another's answer counts as what it used, at its prices where the policy has them, and as
        no less than what was set aside: the candidate may have worked in vain before."""
        whole = self._request.budget
        assert whole is not None
        priced = [one for one in self._routing.serving.spec.profiles if one.prices is not None]
        named = (one.prices for one in priced if by in (one.candidate.model, self._named(one)))
        at = whole.at(next(named, profile_of(self.decision).prices))
        usd = at.price(used.input, used.output, cached_tokens=used.read)
        held.settle(used.input, max(used.output, held.tokens - used.input), usd=max(usd, held.usd))

    def _named(self, profile: Profile) -> str | None:
        return self._request.host.named(profile, self._suite)


def _own(function: Callable[[str], Any] | None, text: str | None, unknown: Any) -> Any:
    """What a function of the user's says of an answer; `unknown` where it fails, since the answer
    was paid for."""
    if function is None or text is None:
        return unknown
    try:
        found = function(text)
        if isinstance(unknown, dict) and not isinstance(found, Mapping):
            raise TypeError(f"it gave {shown(found)}, not a mapping of names to numbers")
        return found
    except Exception as error:  # noqa: BLE001  # whatever it is, it says nothing of the answer
        warnings.warn(RouterLabWarning(f"routing: {shown(function)} failed: {shown(error)}"), stacklevel=2)
        return unknown
