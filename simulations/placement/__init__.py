"""A whole archive and its volunteers in rounds of ten minutes, with the node's own placement.

The world of messages shows dozens of volunteers with their gossip, disks and swarms; this one shows
hundreds and 50 TB, and sees claims as a node would: late, some missing, some false.
"""
