"""The zfs(8) command: the only room that starts `zfs`.

Commands are argument lists, never shell text; whatever zfs says on stderr ends up in a typed `ZfsError`.
"""
