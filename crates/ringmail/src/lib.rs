//! The body: the roles as processes, the arrows between them, configuration and commands.
