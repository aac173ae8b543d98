//! The time that a guest is shown (rule G6): a function of what was delivered and of how often it looked.

use skillhost_core::time::Timestamp;

/// This reading since a delivery is a recorded call.
pub(crate) const READINGS_MAX: u32 = 1_000;

#[derive(Debug)]
pub(crate) struct Time {
    /// The time of the last outcome entry, at first of the run's start.
    outcome: Timestamp,
    last: Timestamp,
    readings: u32,
}

impl Time {
    pub(crate) fn new(started_at: Timestamp) -> Self {
        Self {
            outcome: started_at,
            last: started_at,
            readings: 0,
        }
    }

    /// Returns the guest's time without a reading.
    pub(crate) fn shown(&self) -> Timestamp {
        self.outcome.max(self.last)
    }

    /// Reads the clock: it never stands still and never goes back.
    pub(crate) fn read(&mut self) -> Timestamp {
        self.last = Timestamp(self.shown().0.saturating_add(1));
        self.last
    }

    /// Counts a reading, and returns whether it is one too many to be answered without a call.
    pub(crate) fn count_reading(&mut self) -> bool {
        self.readings += 1;
        self.readings >= READINGS_MAX
    }

    /// Takes the time of an outcome entry.
    pub(crate) fn delivered(&mut self, at: Timestamp) {
        self.outcome = self.outcome.max(at);
        self.readings = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g6_time_is_the_later_of_the_last_outcome_and_the_last_reading_plus_a_microsecond_a_reading() {
        let mut time = Time::new(Timestamp(100));
        assert_eq!((time.read(), time.read()), (Timestamp(101), Timestamp(102)));
        time.delivered(Timestamp(50));
        assert_eq!(
            time.read(),
            Timestamp(103),
            "an outcome from before does not turn the clock back"
        );
        time.delivered(Timestamp(1_000));
        assert_eq!(
            time.shown(),
            Timestamp(1_000),
            "looking without reading advances nothing"
        );
        assert_eq!(time.read(), Timestamp(1_001));
    }

    #[test]
    fn g6_the_thousandth_reading_since_a_delivery_is_one_too_many() {
        let mut time = Time::new(Timestamp(0));
        assert!((1..1_000).all(|_| !time.count_reading()));
        assert!(time.count_reading());
        time.delivered(Timestamp(5));
        assert!(!time.count_reading());
    }
}
