"""Lesson 7, your data and your limits: what leaves the machine, and what a model cannot do alone.

Read `dataflow` with `socket_audit` (a witness of every connection), `tools` with `calculator`,
`retrieval`, `safety`, and `rule_engine` (a stand-in that follows written rules).

May import: local, facts and everything below them.
"""
