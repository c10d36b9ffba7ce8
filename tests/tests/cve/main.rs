//! Past holes of mail servers, asked of the program as it is started: what opened another server once is said to ours,
//! as a client, as a next hop, as a name server, as a user of the machine. Each test says what is answered, and that the
//! program lives afterwards: a good message on a new session goes through, no process ended, and nothing was delivered or
//! handed on that should not have been. `docs/holes.md` says which test stands for which hole, and why some have none.

mod addresses;
mod contents;
mod control;
mod limits;
mod lines;
mod logins;
mod mailbox_servers;
mod names;
mod next_hops;
mod privacy;
mod server;
mod smuggling;
mod starttls;
mod table;
