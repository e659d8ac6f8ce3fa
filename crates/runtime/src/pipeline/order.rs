//! The order of steps that depend on each other.

/// The positions in an order in which each comes after all its needs, otherwise in the given order; or the positions on a cycle.
pub(super) fn order(needs: &[&[usize]]) -> Result<Vec<usize>, Vec<usize>> {
    let mut order = Vec::with_capacity(needs.len());
    let mut is_in = vec![false; needs.len()];
    while order.len() < needs.len() {
        let ready = |n: &usize| !is_in[*n] && needs[*n].iter().all(|need| is_in[*need]);
        let Some(next) = (0..needs.len()).find(ready) else {
            return Err(circle(needs, &is_in));
        };
        is_in[next] = true;
        order.push(next);
    }
    Ok(order)
}

/// If every remaining step waits for another one, following these waits leads to a cycle.
fn circle(needs: &[&[usize]], is_in: &[bool]) -> Vec<usize> {
    let mut path: Vec<usize> = Vec::new();
    let mut at = is_in.iter().position(|is_in| !is_in).unwrap_or(0);
    loop {
        if let Some(begin) = path.iter().position(|n| *n == at) {
            return path.split_off(begin);
        }
        path.push(at);
        at = needs[at]
            .iter()
            .copied()
            .find(|need| !is_in[*need])
            .unwrap_or(at);
    }
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn needs_come_first_and_the_file_decides_the_rest() {
        assert_eq!(order(&[&[2], &[], &[1], &[]]), Ok(vec![1, 2, 0, 3]));
    }

    #[test]
    fn a_cycle_is_reported_without_the_steps_that_only_lead_to_it() {
        assert_eq!(order(&[&[1], &[2], &[1]]), Err(vec![1, 2]));
        assert_eq!(order(&[&[0]]), Err(vec![0]));
    }
}
