//! State that outlives a reload: what one configuration made, the next one finds again under the same name, as long
//! as a snapshot holds it. Keys of token issuers, counters of limits, breakers. KrakenD starts with nothing after each
//! change of its file.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

type Held = Weak<dyn Any + Send + Sync>;

/// The state that snapshots share, by type and name. It keeps nothing alive by itself.
#[derive(Default)]
pub struct Kept(Mutex<HashMap<(TypeId, String), Held>>);

impl Kept {
    /// The state of this name, or what `make` makes. The name must say all that the state depends on: whoever asks
    /// under it later gets what was made first.
    pub fn get_or<T: Any + Send + Sync>(&self, name: &str, make: impl FnOnce() -> T) -> Arc<T> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (TypeId::of::<T>(), name.to_owned());
        let found = all.get(&key).and_then(Weak::upgrade);
        if let Some(found) = found.and_then(|found| found.downcast().ok()) {
            return found;
        }
        let made = Arc::new(make());
        all.retain(|_, held| held.strong_count() > 0);
        let held: Arc<dyn Any + Send + Sync> = made.clone();
        all.insert(key, Arc::downgrade(&held));
        made
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_still_held_is_found_again() {
        let kept = Kept::default();
        let first = kept.get_or("a", || 1_u32);
        let second = kept.get_or("a", || 2_u32);
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(*kept.get_or("b", || 3_u32), 3);
        assert_eq!(*kept.get_or("a", || 4_u64), 4);
    }

    #[test]
    fn what_nobody_holds_is_gone() {
        let kept = Kept::default();
        drop(kept.get_or("a", || 1_u32));
        assert_eq!(*kept.get_or("a", || 2_u32), 2);
    }
}
