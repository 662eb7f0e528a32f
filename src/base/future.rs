//! Futures in memory of their own.

use std::pin::Pin;

/// A future in a box, made where it stays. `Box::pin` makes it elsewhere and copies all of its room, which for a
/// request is 50 cache lines; of those a future that has not begun needs the few that hold its arguments.
#[inline(always)]
pub fn boxed<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    let room = Box::new_uninit();
    Box::into_pin(Box::write(room, make()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_boxed_future_is_the_future() {
        let word = String::from("word");
        let twice = boxed(|| async move { word.clone() + &word });
        assert_eq!(twice.await, "wordword");
    }
}
