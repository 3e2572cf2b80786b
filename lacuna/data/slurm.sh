#!/bin/bash
# Lacuna in {jobs} jobs, each with a part of the participants. They share one index: the first job builds it while the
# others wait ('lacuna index' builds it in advance). If a job dies, submit it again (sbatch --array=N), or submit all:
# finished results are kept. 'lacuna check' lists what is missing.
#SBATCH --job-name=lacuna
#SBATCH --array=1-{jobs}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task={cpus}
{options}#SBATCH --output={logs}/slurm-%A_%a.out
set -eu
cd {folder}
exec {command} --chunk "$SLURM_ARRAY_TASK_ID/{jobs}" --nprocs {cpus}
