"""Lesson 2, mixture of experts: experiments on the router of `course_lib.model.router`.

Read `route_table` (a route worked out), `router_bugs` (five real mistakes), `routes` (where a
model's tokens went), `moe_lab` (balancing in training), `moe_race` (sparse against dense) and
`moe_plots`. `architectures` holds the published configurations.

May import: model, show, task and the ground floor.
"""
