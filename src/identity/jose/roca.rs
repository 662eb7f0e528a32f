//! Moduli that a faulty library made (ROCA, CVE-2017-15361): both primes are powers of 65537 modulo the product of
//! small primes, and so is their product; a few hundred dollars of computing find the factors. KrakenD takes them.

/// Primes whose remainders tell. One modulus in some 2^27 of good ones looks the same.
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
    101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// Whether a modulus (big-endian) has the fingerprint.
pub(super) fn is_weak(modulus: &[u8]) -> bool {
    PRIMES
        .into_iter()
        .all(|prime| is_power(remainder(modulus, prime), prime))
}

fn remainder(modulus: &[u8], prime: u32) -> u32 {
    modulus
        .iter()
        .fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime)
}

/// Whether a number is a power of 65537 modulo a prime.
fn is_power(number: u32, prime: u32) -> bool {
    let generator = 65_537 % prime;
    let powers = std::iter::successors(Some(1), |power| Some(power * generator % prime));
    powers.take(prime as usize).any(|power| power == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_the_generator_have_the_fingerprint() {
        for power in 1..7 {
            let number = 65_537_u128.pow(power);
            assert!(is_weak(&number.to_be_bytes()), "{number}");
        }
    }

    #[test]
    fn other_numbers_have_not() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..2_000 {
            let number: Vec<u8> = (0..256).map(|_| random.u8(..) | 1).collect();
            assert!(!is_weak(&number));
        }
    }
}
