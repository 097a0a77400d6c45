#!/usr/bin/env bash
# Grades a large class on a cluster that runs Slurm. In the course's folder:
#     sbatch --wait --array=1-20 notebooks/grade_in_a_queue.sh SUBMISSIONS report
#     python -m course_lib grade SUBMISSIONS --out report
# The first command grades twenty parts, each on a node of its own; the second puts them together
# and grades what a node that failed has left. Another batch system needs only its own name for the
# number of the task. The nodes need bubblewrap, or user namespaces for `unshare`.
#SBATCH --cpus-per-task=2
#SBATCH --mem=8G
#SBATCH --time=01:00:00
set -euo pipefail
submissions=$1
report=$2
python -m course_lib grade "$submissions" --out "$report" --jobs 2 \
    --part "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"
