;; Never says what it is.
;; group: time
;; refused: bad_description
;; says: `describe`
;; says: limits.describe_seconds
(component
  (;memory;)
  (core module $m
    (func (export "describe") (result i32)
      (loop $again (br $again)) unreachable))
  (core instance $i (instantiate $m))
  (;skill;))
