;; Takes memory until it is given no more when it is asked what it is.
;; group: describe
;; refused: bad_description
;; says: limits.describe_mib
(component
  (;memory;)
  (core module $m
    (memory 1)
    (func (export "describe") (result i32)
      (loop $again (br_if $again (i32.ne (memory.grow (i32.const 160)) (i32.const -1))))
      unreachable))
  (core instance $i (instantiate $m))
  (;skill;))
