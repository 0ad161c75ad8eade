"""What no stack may do, as plain functions over a plan.

`pulumi preview --policy-pack infra/guardrails` asks them before anything is made, and the tests
ask them about the plan of every stack.
"""
