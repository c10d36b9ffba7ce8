//! What to allow, whom mail is for, where it goes: decided from what the configuration says, without I/O.
