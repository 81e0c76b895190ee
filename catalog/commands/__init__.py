"""The verbs that read and curate a lake: query, update, delete, undelete, explain, tasks.

One module per verb: the command line imports the one that is asked for.
"""
