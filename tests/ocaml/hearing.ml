(* hearing.ml - what a supervisor tells, as text, for its tests *)

open Xlchild_supervisor

type t = { stream : Stream.t; mutable said : string list (* newest first *) }

(* Pids differ from run to run. *)
let text_of event =
  Str.global_replace (Str.regexp ", pid [0-9]+") "" (event_text event)

let make () = { stream = Stream.create (); said = [] }
let hear t event = Stream.push t.stream event

let rec catch_up t =
  match Stream.next_opt t.stream with
  | Some event ->
      t.said <- text_of event :: t.said;
      catch_up t
  | None -> ()

let times t text = List.length (List.filter (( = ) text) t.said)

(* Waits until [text] was said so often since the beginning. *)
let expect ?times:(wanted = 1) t text =
  while times t text < wanted do
    t.said <- text_of (Stream.next t.stream) :: t.said
  done

let said t =
  catch_up t;
  List.rev t.said

let never t text =
  catch_up t;
  Alcotest.(check int) ("not: " ^ text) 0 (times t text)

(* With a supervisor whose news are heard; closed at the end. *)
let with_supervisor ?state_folder f =
  let heard = make () in
  with_supervisor ?state_folder ~on_event:(hear heard) (fun t -> f t heard)
