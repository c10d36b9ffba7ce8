//! Other parameters in the middle of things: the administrator changed the configuration.

use super::{Parameters, Queue, Router};

impl<R: Router> Queue<R> {
    /// Takes other parameters and another router. They decide from the next attempt on; what is under way, and when
    /// a message that waits is due, stay as they were.
    pub fn reconfigure(&mut self, parameters: Parameters, router: R) {
        let (min, max) = (parameters.retry_delay_min, parameters.retry_delay_max);
        self.retry.set_delays(min, max);
        self.sites.set_bounds(parameters.attempts_max, min);
        (self.parameters, self.router) = (parameters, router);
    }
}
