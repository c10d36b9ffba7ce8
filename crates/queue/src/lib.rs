//! What to keep and when to send: the spool and the schedule. Decides everything, touches the disk only through `spool::Disk`.
