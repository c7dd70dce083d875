"""What was measured and what is asked become the same text, whatever form a table holds it in."""

import json
from typing import Any

import numpy as np
import pytest

from router_lab.runtime.messages import group_mark, last_user_text, messages_in, prompt_text

TALK = [
    {"role": "system", "content": "You are kind."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    {"role": "user", "content": "Reset my password"},
]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    "held",
    [
        TALK,
        tuple(TALK),
        np.array(TALK, dtype=object),
        json.dumps(TALK),
        "  " + json.dumps(TALK, indent=2),
        json.dumps(json.dumps(TALK)),
        {"messages": TALK, "model": "m"},
        json.dumps({"messages": TALK}),
        {"input": TALK},
        {"role": "user", "content": "Reset my password"},
        "<|im_start|>system\nYou are kind.<|im_end|>\n<|im_start|>user\nReset my password<|im_end|>\n"
        "<|im_start|>assistant\n",
        [*TALK, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "42"}]}],
        [
            *TALK[:3],
            {"role": "user", "content": np.array([{"type": "input_text", "text": "Reset my password"}])},
        ],
        [*TALK, {"role": "assistant", "content": None, "tool_calls": np.array([{"id": "1"}])}],
        [
            {
                "role": "user",
                "content": [{"type": "text", "text": "Reset my password", "image_url": None}, IMAGE],
            }
        ],
    ],
)
def test_messages_in_every_form_are_the_text_that_decide_reads(held: Any) -> None:
    assert prompt_text(held) == "Reset my password" == last_user_text(TALK)


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2, 3] is a list; what is its sum?",
        "[]",
        '["a", "b"]',
        '[{"role": "admin", "name": "Bo"}]',
        '[{"role": "user", "name": "Bo"}]',
        '{"role": "user"}',
        '[{"role": "user", "content": "cut off',
        '{"messages": "none"}',
        "Say <|im_start|>user",
        "NA",
        "",
    ],
)
def test_a_text_that_only_looks_like_messages_stays_as_it_is(text: str) -> None:
    assert prompt_text(text) == text and messages_in(text) is None


@pytest.mark.parametrize(
    "held",
    [None, float("nan"), [{"role": "assistant", "content": "Hi"}], [{"role": "user", "content": [IMAGE]}]],
)
def test_where_there_is_no_text_there_is_no_prompt(held: Any) -> None:
    assert prompt_text(held) is None


def test_numbers_are_text_and_nothing_else_is_made_up() -> None:
    assert (prompt_text(7), prompt_text(np.float64(0.5))) == ("7", "0.5")
    for held in ([1, 2], {"question": "x"}, np.zeros(2)):
        with pytest.raises(ValueError, match="neither a text nor messages"):
            prompt_text(held)


def test_pictures_tell_equal_texts_apart() -> None:
    def about(url: str) -> list[dict[str, Any]]:
        return [
            {
                "role": "user",
                "content": [{"type": "text", "text": "What is it?"}, {"type": "image", "image": url}],
            }
        ]

    assert group_mark(about("cat")) == group_mark(json.dumps(about("cat"))) != group_mark(about("dog"))
    assert group_mark(TALK) is None and group_mark("What is it?") is None
