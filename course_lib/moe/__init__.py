"""Lesson 2, mixture of experts: experiments on the router of `course_lib.model.router`.

Read `route_table` (a route worked out), `router_bugs` (five real mistakes), `routes` (where a
model's tokens went), `training` (small models, with and without balance), `comparison` (the same
with many seeds, everybody at their best), `plots`; `parallel` (pipelines, experts on many nodes)
with `parallel_plots`; `layer_picture`; `architectures` holds published configurations.

May import: model, show, task and the ground floor.
"""
