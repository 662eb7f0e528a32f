//! The arithmetic of choosing: orders by weight, and what a key belongs to.

/// Most entries of an order, so that weights of any size make a short one.
const LONGEST: u64 = 1024;

/// Indexes in an order in which each occurs by its weight, and as far apart as that allows: (5, 1) gives
/// `0 0 0 1 0 0` and not `0 0 0 0 0 1`. An index whose weight is zero does not occur, unless all are.
pub(super) fn interleaved(weights: &[u32]) -> Box<[u32]> {
    let weights = reduced(weights);
    let total: i64 = weights.iter().sum();
    let mut credit = vec![0_i64; weights.len()];
    let mut order = Vec::new();
    for _ in 0..total {
        let mut best = 0;
        for (at, weight) in weights.iter().enumerate() {
            if let Some(own) = credit.get_mut(at) {
                *own += weight;
            }
            if credit.get(at) > credit.get(best) {
                best = at;
            }
        }
        if let Some(own) = credit.get_mut(best) {
            *own -= total;
        }
        order.push(u32::try_from(best).unwrap_or(u32::MAX));
    }
    order.into()
}

/// Weights without what they share, and small enough for an order.
fn reduced(weights: &[u32]) -> Vec<i64> {
    let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    if sum == 0 {
        return vec![1; weights.len()];
    }
    let scaled = |weight: &u32| match u64::from(*weight) {
        0 => 0,
        weight if sum > LONGEST => (weight * LONGEST / sum).max(1),
        weight => weight,
    };
    let scaled: Vec<u64> = weights.iter().map(scaled).collect();
    let shared = scaled.iter().copied().fold(0, gcd).max(1);
    let whole = |weight: u64| i64::try_from(weight / shared).unwrap_or(i64::MAX);
    scaled.into_iter().map(whole).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A number for a text: the same in every gateway and after every start.
pub fn hash(text: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in text {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    mixed(hash)
}

/// How much a host wants a key: the host that wants it most has it. When a host goes, only its own keys move, and
/// to all others alike.
pub fn wish(key: u64, host: u64, weight: u32) -> f64 {
    let drawn = (mixed(key ^ host) >> 11) as f64;
    // In (0, 1): the 53 bits of a double and a half.
    let drawn = (drawn + 0.5) / (1_u64 << 53) as f64;
    f64::from(weight) / -drawn.ln()
}

/// Spreads what differs in a few bits over all of them.
const fn mixed(mut bits: u64) -> u64 {
    bits ^= bits >> 30;
    bits = bits.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits ^= bits >> 27;
    bits = bits.wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_holds_each_by_its_weight_and_spreads_it() {
        assert_eq!(*interleaved(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(*interleaved(&[5, 1]), [0, 0, 0, 1, 0, 0]);
        assert_eq!(*interleaved(&[6, 2]), [0, 0, 1, 0]);
        assert_eq!(*interleaved(&[3, 0]), [0]);
        assert_eq!(*interleaved(&[0, 0]), [0, 1]);
        assert_eq!(*interleaved(&[]), [0_u32; 0]);
    }

    #[test]
    fn weights_of_any_size_make_a_short_order_without_losing_anyone() {
        let order = interleaved(&[u32::MAX, 1, u32::MAX]);
        assert!(order.len() <= 1026, "{}", order.len());
        assert!(order.contains(&1));
    }

    #[test]
    fn wishes_follow_weights() {
        let mut won = [0_u32; 2];
        for key in 0..40_000_u64 {
            let key = hash(&key.to_le_bytes());
            let first = wish(key, 11, 3) > wish(key, 22, 1);
            won[usize::from(!first)] += 1;
        }
        let share = f64::from(won[0]) / 40_000.0;
        assert!((share - 0.75).abs() < 0.02, "{share}");
    }

    #[test]
    fn a_host_that_goes_moves_only_its_own_keys() {
        let hosts = [1_u64, 2, 3, 4].map(|host| hash(&host.to_le_bytes()));
        let home = |key: u64, hosts: &[u64]| {
            let best = hosts
                .iter()
                .max_by(|a, b| wish(key, **a, 1).total_cmp(&wish(key, **b, 1)));
            *best.unwrap()
        };
        let mut moved = 0;
        for key in 0..4_000_u64 {
            let key = hash(&key.to_le_bytes());
            let (before, after) = (home(key, &hosts), home(key, &hosts[1..]));
            assert!(before == after || before == hosts[0]);
            moved += u32::from(before != after);
        }
        assert!((800..1_200).contains(&moved), "{moved}");
    }
}
