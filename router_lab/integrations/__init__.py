"""Drop-ins: a policy within the SDKs and gateways that people run.

`routing` is what all of them share: who is asked, in which session, within which budget, and who
after that. `requesting` and `answers` put a decision into a provider's request and read what came
back; `clients` wraps the clients of `openai` and `anthropic`, `litellm` is LiteLLM's plugin.
`framing` is for hosts that make the request themselves: agents of `pydantic_ai`, `openai_agents`
and `langchain`. Each imports its host alone, and only where the host is there; none imports more of
this package than the runtime, so that nothing but numpy and the host is needed.
"""
