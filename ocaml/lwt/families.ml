(* families.ml - Xlchild_lwt.Family: what is waited for is a promise

   The library is asked once a family, however many wait for it, and told whom it
   is to tell only as long as somebody waits: a promise that is cancelled leaves
   nothing behind. Used by xlchild_lwt.ml. *)

open Lwt.Infix
open Pumped
module Held = Xlchild.Family

module Numbers = Map.Make (Int)

type answer = (unit, Xlchild.error) result

type t = {
  pumped : Pumped.t;
  held : Held.t;
  mutable asked : asked option;  (* the library has been *)
}

(* What the library's closure has: the family, too, while somebody waits, so that
   it is not forgotten then. *)
and asked = {
  mutable of_family : t option;
  mutable answered : bool;
  mutable waiting : answer Lwt.u Numbers.t;
  mutable waited : int;
}

let held family = family.held

let create ?policy ?signal ?grace ?holds ?cgroup_parent (pumped : Pumped.t) =
  let held =
    Held.create ?policy ?signal ?grace ?holds ?cgroup_parent pumped.ctx
  in
  match
    resolve_soon pumped;
    { pumped; held; asked = None }
  with
  | family -> family
  | exception exn ->
      ignore (Held.close_result held);
      raise exn

(* Whatever is due is told by any call. *)
let asking family call =
  let answer = call family.held in
  resolve_soon family.pumped;
  answer

let close_result family = asking family Held.close_result
let look_result family = asking family Held.look_result
let signal_result family n = asking family (fun h -> Held.signal_result h n)
let get = function Ok x -> x | Result.Error e -> raise (Xlchild.Error e)
let close family = get (close_result family)
let look family = get (look_result family)
let is_empty family = (look family).Held.empty
let signal family n = get (signal_result family n)

(* ---- waiting ---- *)

(* The library's answer, for whoever waits by then. *)
let told pumped asked answer =
  let waiting = asked.waiting in
  asked.answered <- true;
  asked.of_family <- None;
  asked.waiting <- Numbers.empty;
  Numbers.iter (fun _ resolve -> resolver pumped resolve answer) waiting

let new_asked () =
  {
    of_family = None;
    answered = false;
    waiting = Numbers.empty;
    waited = 0;
  }

let add family asked resolve =
  let number = asked.waited in
  asked.waited <- number + 1;
  asked.waiting <- Numbers.add number resolve asked.waiting;
  asked.of_family <- Some family;
  number

let remove asked number =
  asked.waiting <- Numbers.remove number asked.waiting;
  if Numbers.is_empty asked.waiting then asked.of_family <- None

(* [resolve] is told; how to take that back. *)
let ask family resolve =
  match family.asked with
  | Some asked when not asked.answered ->
      let number = add family asked resolve in
      Ok (fun () -> remove asked number)
  | _ -> (
      let asked = new_asked () in
      let number = add family asked resolve in
      match
        asking family (fun held ->
            Held.when_empty_result held (told family.pumped asked))
      with
      | Ok () ->
          family.asked <- Some asked;
          Ok (fun () -> remove asked number)
      | Result.Error _ as e -> e)

(* What the library says of it may be lost where a signal handler raises: so
   often it is looked at in any case. *)
let slice = 1.

let timed_out : answer =
  Result.Error
    {
      code = Timed_out;
      stage = No_stage;
      errno = None;
      argument = None;
      program = None;
      path = None;
    }

let answer_of_look family =
  match look_result family with
  | Ok { empty = true; _ } -> Some (Ok ())
  | Ok _ -> None
  | Result.Error e -> Some (Result.Error e)

(* [promise] is told, or the time is over. *)
let rec until_told family promise until =
  let left = until -. Xlchild.now () in
  if left <= 0. then Lwt.return timed_out
  else
    Lwt.pick
      [
        (Lwt.protected promise >|= fun answer -> Some answer);
        (Lwt_unix.sleep (min left slice) >|= fun () -> None);
      ]
    >>= function
    | Some answer -> Lwt.return answer
    | None -> (
        match answer_of_look family with
        | Some answer -> Lwt.return answer
        | None -> until_told family promise until)

let ask_and_wait family until =
  let promise, resolve = Lwt.wait () in
  match ask family resolve with
  | Result.Error _ as e -> Lwt.return e
  | Ok take_back ->
      Lwt.finalize
        (fun () -> until_told family promise until)
        (fun () ->
          take_back ();
          Lwt.return_unit)

let wait_result ?(timeout = infinity) family =
  if Float.is_nan timeout then
    Lwt.fail (Invalid_argument "Xlchild: a duration that is nan")
  else
    match answer_of_look family with
    | Some answer -> Lwt.return answer
    | None when timeout <= 0. -> Lwt.return timed_out
    | None -> ask_and_wait family (Xlchild.now () +. timeout)

let raising promise =
  promise >>= function
  | Ok x -> Lwt.return x
  | Result.Error e -> Lwt.fail (Xlchild.Error e)

let wait ?timeout family = raising (wait_result ?timeout family)

let stop_result ?signal ?grace family =
  match
    asking family (fun held -> Held.stop_result ?signal ?grace held)
  with
  | (Ok false | Result.Error _) as answer -> Lwt.return answer
  | Ok true -> wait_result family >|= Result.map (fun () -> true)

let stop ?signal ?grace family = raising (stop_result ?signal ?grace family)

(* ---- for a while ---- *)

let close_quietly family = ignore (close_result family)

let with_family ?policy ?signal ?grace ?holds ?cgroup_parent pumped f =
  match create ?policy ?signal ?grace ?holds ?cgroup_parent pumped with
  | exception exn -> Lwt.fail exn
  | family ->
      Lwt.try_bind
        (fun () -> f family)
        (fun x ->
          match close_result family with
          | Ok () | Result.Error { code = Not_found | Closed; _ } ->
              Lwt.return x
          | Result.Error e -> Lwt.fail (Xlchild.Error e))
        (fun exn ->
          close_quietly family;
          Lwt.fail exn)

(* One for one start, which is not for the caller to close. *)
let in_its_own policy pumped command start =
  let family = create ~policy pumped in
  match start family (Xlchild.in_family family.held command) with
  | started -> started
  | exception exn ->
      close_quietly family;
      raise exn

let last_wait = 10. (* for who has been sent SIGKILL *)

let is_ending family =
  match look_result family with
  | Ok state -> state.ending
  | Result.Error _ -> false

(* Whom its end is under way for has gone; then it goes itself, too, whoever is
   cancelled meanwhile. *)
let gone ?(cut_short = false) family =
  let over =
    if cut_short || is_ending family then
      wait_result ~timeout:last_wait family >|= ignore
    else Lwt.return_unit
  in
  Lwt.no_cancel (over >|= fun () -> close_quietly family)

(* As a time-out would. *)
let give_up policy family =
  if policy <> Held.Never then
    ignore (asking family (fun held -> Held.stop_result held))

(* The promise [f] with a family of its own, by a policy; [cut_short] says of
   its result that the policy of the command's end was in force. *)
let for_one ?family pumped command ~cut_short f =
  match family with
  | None -> f command
  | Some policy -> (
      let go family command =
        let promise = f command in
        match
          Lwt.try_bind
            (fun () -> promise)
            (fun x ->
              gone family ~cut_short:(policy <> Held.Never && cut_short x)
              >|= fun () -> x)
            (fun exn ->
              (match exn with
              | Xlchild.Error _ -> ()
              | _ -> give_up policy family);
              gone family >>= fun () -> Lwt.fail exn)
        with
        | over -> over
        | exception exn ->
            (* a handler's: nobody else has the promise *)
            Lwt.cancel promise;
            raise exn
      in
      match in_its_own policy pumped command go with
      | promise -> promise
      | exception exn -> Lwt.fail exn)
