;; Traps when it is asked what it is.
;; group: describe
;; refused: bad_description
(component
  (;memory;)
  (core module $m (func (export "describe") (result i32) unreachable))
  (core instance $i (instantiate $m))
  (;skill;))
