#!/usr/bin/env bash
# Trains on Slurm nodes: sbatch cluster/slurm.sh [ARGUMENTS OF omnichannel train]
# The environment .venv and the submit folder must lie on a file system that all nodes share.
#SBATCH --job-name=omnichannel
#SBATCH --nodes=3
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=04:00:00
#SBATCH --signal=B:INT@120
set -euo pipefail

VENV="${VENV:-$SLURM_SUBMIT_DIR/.venv}"
# The token keeps other users of the nodes out: whoever reaches Ray's port can run code.
export RAY_AUTH_MODE=token
(umask 077 && "$VENV/bin/ray" get-auth-token --generate >/dev/null)

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head="${nodes[0]}"
head_ip="$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')"
# Jobs that share a node must not share a port.
port="$((20000 + SLURM_JOB_ID % 10000))"
temp_dir="/tmp/ray-$SLURM_JOB_ID"
runners="$(((${#nodes[@]} - 1) * SLURM_CPUS_PER_TASK))"

start_ray() { # NODE, arguments of `ray start`
  local node="$1"
  shift
  srun --nodes=1 --ntasks=1 --overlap --nodelist="$node" \
    "$VENV/bin/ray" start --block --disable-usage-stats "$@" &
}

# The driver learns on the head node, so Ray may put no runner there unless it is the only node.
head_cpus=0
if ((${#nodes[@]} == 1)); then
  head_cpus="$SLURM_CPUS_PER_TASK"
  runners="$SLURM_CPUS_PER_TASK"
fi
start_ray "$head" --head --node-ip-address="$head_ip" --port="$port" --num-cpus="$head_cpus" \
  --dashboard-host=127.0.0.1 --temp-dir="$temp_dir"
until "$VENV/bin/ray" status --address "$head_ip:$port" >/dev/null 2>&1; do sleep 2; done
for node in "${nodes[@]:1}"; do
  start_ray "$node" --address="$head_ip:$port" --num-cpus="$SLURM_CPUS_PER_TASK"
done

# This script runs on the first node. In the background, so that the signal before the time limit can
# be passed on: it saves a checkpoint. Not by srun, which keeps a first SIGINT to itself.
"$VENV/bin/omnichannel" train --address "$head_ip:$port" \
  --set "env_runners.num_env_runners=$runners" "$@" &
training="$!"
trap 'kill -INT "$training"' INT TERM
status=0
wait "$training" || status="$?"
# A signal ends `wait` early; training goes on until its checkpoint is written.
while kill -0 "$training" 2>/dev/null; do
  status=0
  wait "$training" || status="$?"
done
exit "$status" # Slurm ends the Ray processes with the job
