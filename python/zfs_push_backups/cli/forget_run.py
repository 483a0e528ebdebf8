"""Give an unfinished run up: the next push begins anew, and what the run stored is swept. Committed backups stay."""

from __future__ import annotations

from zfs_push_backups.cli.parser import add_host, add_wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `forget-run`."""
    parser.add_argument("id", nargs="?", metavar="ID", help="the run, as `status` shows it; absent: the only one")
    parser.add_argument("--task", metavar="NAME", help="every unfinished run of this task")
    parser.add_argument("--dataset", metavar="POOL/DATASET", help="every unfinished run of this dataset")
    parser.add_argument("--source", metavar="NAME", help="name of the machine that is backed up")
    add_host(parser)
    add_wait(parser)


def run(options: argparse.Namespace) -> int:
    """Forget, and say what."""
    from zfs_push_backups.cli.running import parse_wait, running
    from zfs_push_backups.report.progress import emit_json
    from zfs_push_backups.run.forget import forget_run
    from zfs_push_backups.run.options import ForgetOptions

    request = ForgetOptions(
        config=options.config,
        host=options.host,
        endpoint=options.endpoint,
        region=options.region,
        run_id=options.id,
        task=options.task,
        dataset=options.dataset,
        source=options.source,
        wait_seconds=parse_wait(options.wait),
    )
    with running(options) as run_context:
        report = forget_run(request, run_context)
    if options.json:
        emit_json({"event": "result", **report.as_dict()})
    return 0
