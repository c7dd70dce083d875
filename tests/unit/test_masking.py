"""Which settings and texts hold keys, and what is shown in their place."""

from __future__ import annotations

import pytest

from router_lab.masking import hidden, is_key, mask_error, masked, revealed
from router_lab.runtime.errors import InputError

ENV, ARG, BASIC = "env-7Hq2vK9xLm", "arg-6Ye3hW5oBc", "pwd-4Cn9kS6eUq"


@pytest.mark.parametrize(
    ("text", "shown"),
    [(f"postgresql://me:{BASIC}@db/x", "postgresql://***@db/x"), (f"https://{BASIC}@h/x", "https://***@h/x"),
     (f"GET /v1?api_key={ARG}&day=1 ", "GET /v1?api_key=***&day=1 "), (f"/x?a=1&key={ARG}", "/x?a=1&key=***"),
     ("models:/name@champion", "models:/name@champion"), ("a@b.c at http://h/@x?tokens=5", "a@b.c at http://h/@x?tokens=5"),
     ("max_tokens=5&token_limit=7", "max_tokens=5&token_limit=7"), (f"said {ENV}!", "said ***!")],
)  # fmt: skip
def test_what_is_printed_has_stars_for_keys(text: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_API_KEY", ENV)
    monkeypatch.setenv("OTHER_API_KEY", "none")  # what people give servers that want none: no key
    assert masked(text) == shown
    assert masked("none of them") == "none of them"


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [("config.extra_headers.Authorization", "x", True), ("config.extra_headers.x-api-key", "x", True),
     ("config.extra_headers.Cookie", "x", True), ("args.api_key", "x", True),
     ("args.default_query.subscription-key", "x", True),
     ("a.client_secret", "x", True), ("config.extra_body.access_token", "x", True), ("a.password", "x", True),
     ("config.extra_body.anything", "Bearer abcdefgh", True), ("a.b", "sk-ant-api03-abcdefghijkl", True),
     ("a.b", "ghp_abcdefghijklmnop", True), ("config.max_tokens", "5", False), ("config.stop_token", "x", False),
     ("config.extra_body.prompt_cache_key", "x", False), ("a.tokenizer", "x", False), ("a.authority", "x", False),
     ("args.azure_ad_token", "x", True), ("args.aws_secret_access_key", "x", True), ("args.apiKey", "x", True),
     ("args.nested.deep.accessToken", "x", True), ("args.auth.1", "pw", True), ("args.proxy", "http://u:p@h:1", True),
     ("args.azure_endpoint", "https://h/x?code=1&sig=abc", True), ("args.organization", "org-1234567890", False),
     ("config.extra_headers.X-Team-Secret", "x", True), ("args.default_headers.Helicone-Auth", "x", True),
     ("args.default_headers.Ocp-Apim-Subscription-Key", "x", True), ("a.headers.cf-aig-authorization", "x", True),
     ("config.extra_headers.X-Gateway", "zQ81-whatever", True), ("a.headers.0.1", "zQ81-whatever", True),
     ("config.extra_headers.X-Variant", "b", False), ("config.extra_headers.X-Team", "platform", False),
     ("args.default_query.whatever", "zQ81-whatever", True), ("args.default_query.api-version", "2025-01-01", False),
     ("a.properties.password.description", "The password of a user", False), ("a.eos_token", "<|end|>", False),
     ("args.api_key", "", False), ("config.extra_headers.anthropic-beta", "context-1m-2025-08-07", False)],
)  # fmt: skip
def test_which_settings_are_keys(name: str, value: str, key: bool) -> None:
    assert is_key(name, value) is key


def test_a_key_becomes_a_reference_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "value-of-mine")
    found: dict[str, str] = {}
    tree = {"list": [{"token": ARG}], "note": "say ${MINE}", "n": 5, "max_tokens": 7}
    shown = hidden(tree, "args", found)
    assert shown == {
        "list": [{"token": "${args.list.0.token}"}],
        "note": "say ${MINE}",
        "n": 5,
        "max_tokens": 7,
    }
    assert revealed(shown, found, "here") == {**tree, "note": "say value-of-mine"}
    assert masked(f"{ARG} and value-of-mine") == "*** and ***"
    with pytest.raises(InputError, match=r"here: \$\{NOT_SET\} is not set in the environment"):
        revealed("${NOT_SET}", found, "here")


def test_keys_of_every_nesting_come_back_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM", "team-of-mine")
    tree = {
        "auth": ("me", "pw12"), "password": 12345678, "user": "${TEAM}:sk-live-abcdef1234567890", "api_key": "${TEAM}",
        "inner": [{"headers": [["X-K", "zQ81-whatever"]]}], "flag": True, "token": None,
        "Authorization": "Bearer ${TEAM}",
    }  # fmt: skip
    found: dict[str, object] = {}
    shown = hidden(tree, "args", found)
    assert shown == {
        "auth": ["${args.auth.0}", "${args.auth.1}"], "password": "${args.password}", "user": "${args.user}",
        "api_key": "${TEAM}", "inner": [{"headers": [["X-K", "${args.inner.0.headers.0.1}"]]}], "flag": True,
        "token": None, "Authorization": "Bearer ${TEAM}",
    }  # fmt: skip
    assert revealed(shown, found, "here") == {
        **tree, "auth": ["me", "pw12"], "user": "team-of-mine:sk-live-abcdef1234567890", "api_key": "team-of-mine",
        "Authorization": "Bearer team-of-mine",
    }  # fmt: skip
    assert masked("said 12345678, zQ81-whatever") == "said ***, ***"


def test_texts_of_a_task_that_look_like_references_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF", "hf-of-mine-1")
    args = {"template": "${question}", "hf_token": "${HF}"}
    assert revealed(args, {}, "here", "task_args") == {"template": "${question}", "hf_token": "hf-of-mine-1"}


def test_the_folder_of_a_shell_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PWD", "/home/me/project-7")
    assert masked("/home/me/project-7/x.yaml") == "/home/me/project-7/x.yaml"


def test_an_error_is_masked_with_all_that_led_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_API_KEY", ENV)
    try:
        try:
            raise ValueError(f"first {ENV}")
        except ValueError as first:
            raise KeyError(f"second {ENV}", 5) from first
    except KeyError as error:
        error.body = {"message": [f"third {ENV}"]}  # type: ignore[attr-defined]
        mask_error(error)
        assert error.args == ("second ***", 5) and str(error.__cause__) == "first ***"
        assert error.body == {"message": ["third ***"]}  # type: ignore[attr-defined]


def test_a_key_is_starred_in_every_form_that_a_server_may_send_back() -> None:
    key = 'k"7/Hq2+vK 9xLm=='
    revealed("${it}", {"it": key}, "here")
    sent = ["k%227%2FHq2%2BvK%209xLm%3D%3D", "k%227/Hq2%2BvK%209xLm%3D%3D", "k%227%2FHq2%2BvK+9xLm%3D%3D"]
    sent += [r"k\"7/Hq2+vK 9xLm==", "ayI3L0hxMit2SyA5eExtPT0=", "ayI3L0hxMit2SyA5eExtPT0"]
    for text in sent:
        assert masked(f"<{text}>") == "<***>"
