#!/usr/bin/env bash
# Runs in the test machine: mounts the payload and installs the wheel as an operator would, with pip into a virtual environment.
set -euo pipefail
payload=/mnt/payload
home=/opt/zfs-push-backups

mkdir -p "$payload"
mount -o noatime /dev/vdb "$payload"
python3 -m venv --without-pip "$home"
echo "$payload/site" >"$home/lib/python3.11/site-packages/payload.pth"
PYTHONPATH=$payload/site/pip-alone "$home/bin/python" -m pip install --quiet --no-index --no-deps --no-compile "$payload"/*.whl
printf '#!/bin/sh\nexec %s -m awscli "$@"\n' "$home/bin/python" >"$home/bin/aws"
chmod 755 "$home/bin/aws"
ln -sf "$home/bin/zfs-push-backups" /usr/local/bin/
