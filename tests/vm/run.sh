#!/usr/bin/env bash
# Runs in the test machine: pytest over tests/vm, or over what the arguments say.
set -euo pipefail
cd "$(dirname "$0")/../.."
export ZPB_VM=1 ZPB_TEST_REQUIRE=1 ZPB_CACHE=$PWD/cache PYTHONPATH=$PWD/tests PYTHONUNBUFFERED=1
export PATH=/opt/zfs-push-backups/bin:$PATH
exec /opt/zfs-push-backups/bin/python -m pytest -p no:cacheprovider --junitxml /var/tmp/junit.xml --timeout 900 -o testpaths=tests/vm "$@"
